"""What a picture looks like in four plain numbers; no stand-in for an aesthetic score."""

import cv2
import numpy as np


def looks(picture):
  """Colour, sharpness, contrast and clipping of a picture.

  Args:
    picture: uint8 [h w 3] RGB.

  Returns:
    float32 [4]: colourfulness (Hasler and Süsstrunk 2003, eq. 3), variance of the Laplacian,
    standard deviation of grey, share of pixels that are black or white.
  """
  r, g, b = np.moveaxis(picture.astype(np.float32), -1, 0)
  rg, yb = r - g, (r + g) / 2 - b
  colour = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
  grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
  sharpness = cv2.Laplacian(grey, cv2.CV_32F).var()
  clipped = ((grey < 5) | (grey > 250)).mean()
  return np.float32([colour, sharpness, grey.std(), clipped])
