"""How much of a picture overlaid text covers, without a trained detector.

Letters are two-valued, have strokes side by side, and stand in lines. What has all three is
called text; fine two-valued texture can be too. A trained detector is an annotator.
"""

import cv2
import numpy as np

NAME = 'strokes@1'
_CONTRAST = 40  # least step between letter and ground, in grey levels
_TWO_VALUED = 0.68  # least share of variance between the two values; 0.64 is plain noise
_CROSSINGS = 3  # least strokes along a line, for each height of the line


def boxes(grey):
  """Boxes around lines of text.

  Args:
    grey: uint8 [h w], upright, long side of about 384.

  Returns:
    [(x, y, width, height)] in pixels.
  """
  gradient = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
  edges = (gradient > max(_CONTRAST, 2 * np.median(gradient))).astype(np.uint8)
  reach = max(7, grey.shape[1] // 32)
  lines = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8))
  lines = cv2.morphologyEx(lines, cv2.MORPH_OPEN, np.ones((4, 5), np.uint8))
  found = [cv2.boundingRect(c) for c in cv2.findContours(
      lines, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]]
  return [box for box in found if _is_text(grey, lines, box)]


def _is_text(grey, lines, box):
  x, y, w, h = box
  if not (6 <= h <= grey.shape[0] / 3 and w >= 1.5 * h):
    return False
  if lines[y:y + h, x:x + w].mean() < 0.6:
    return False
  inner = grey[y:y + h, x:x + w]
  level, ink = cv2.threshold(inner, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
  share, variance = ink.mean(), inner.var()
  if not 0.08 < share < 0.92 or not variance:
    return False
  high, low = inner[ink == 1].mean(), inner[ink == 0].mean()
  if share * (1 - share) * (high - low) ** 2 < _TWO_VALUED * variance or high - low < _CONTRAST:
    return False
  middle = inner[h // 4:h - h // 4] > level
  crossings = np.abs(np.diff(middle.astype(np.int8), axis=1)).sum(axis=1).mean() / 2
  return crossings >= _CROSSINGS and crossings >= 0.5 * w / h


def area(grey):
  """Share of a picture that lines of text cover, the union of `boxes`; see there."""
  mask = np.zeros(grey.shape, np.uint8)
  for x, y, w, h in boxes(grey):
    mask[y:y + h, x:x + w] = 1
  return float(mask.mean())
