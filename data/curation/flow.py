"""Dense optical flow at 2 frames a second, as the paper's and as the better quantity."""

import cv2
import numpy as np

RATE = 2  # frames a second (SVD, appendix C)
SHORT_SIDE = 16  # of the maps (SVD, appendix C)


def paper_flow(first, second):
  """Farnebäck's flow on frames scaled to a short side of 16 pixels.

  Parameters are those of video2dataset, the paper's open tool; the paper names none.

  Args:
    first: uint8 [h w] grey.
    second: the same of a later frame.

  Returns:
    float32 [16 w 2] (or [h 16 2]): pixels of this small grid.
  """
  scale = SHORT_SIDE / min(first.shape)
  size = [max(SHORT_SIDE, round(n * scale)) for n in first.shape[::-1]]
  a, b = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (first, second))
  return cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)


def magnitude(flow):
  """Mean length of flow [... 2]."""
  return float(np.linalg.norm(np.asarray(flow, np.float32), axis=-1).mean())
