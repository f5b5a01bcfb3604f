"""Cuts: one detector at several frame rates, all fed by one decode (SVD, appendix C)."""

import cv2
import numpy as np


def content(first, second):
  """How much the picture changes: mean absolute difference of hue, saturation and value.

  PySceneDetect's content score with its default weights.

  Args:
    first: uint8 [h w 3] in HSV, hue 0 to 179.
    second: the same of a later frame.

  Returns:
    float in grey levels.
  """
  return sum(cv2.mean(cv2.absdiff(first, second))[:3]) / 3


def unexplained(first, second):
  """The share of a change in brightness that motion does not explain.

  Args:
    first: uint8 [h w] grey, long side of about 256.
    second: the same of a later frame.

  Returns:
    float: about 0 for a pan, 1 for a cut.
  """
  flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)
  y, x = np.indices(first.shape, np.float32)
  moved = cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REPLICATE)
  change = cv2.mean(cv2.absdiff(first, second))[0]
  return cv2.mean(cv2.absdiff(first, moved))[0] / change if change else 0.0


_BURST = 3  # frames between cuts of one burst, and between it and the frames that are trusted


class Detector:
  """Compares frames of one rate; what motion explains is no cut.

  Args:
    rate: frames a second; 0 takes every frame.
    threshold: least `content` that motion does not explain.
  """

  def __init__(self, rate, threshold):
    self.rate, self.threshold = rate, threshold
    self.hits = []  # (pts before, pts after) of each change found
    self._pts, self._frame, self._due = None, None, -np.inf

  def feed(self, pts, seconds, frame):
    """Takes the next frame, uint8 [h w 3] in HSV, shown at `pts` ticks, which is `seconds`."""
    if seconds < self._due:
      return
    if self.rate:
      self._due = (np.floor(seconds * self.rate + 1e-3) + 1) / self.rate - 1e-3
    if self._frame is not None and self._is_new(frame):
      self.hits.append((self._pts, pts))
    self._pts, self._frame = pts, frame

  def _is_new(self, frame):
    change = content(self._frame, frame)
    return change >= self.threshold and (
        change * unexplained(self._frame[..., 2], frame[..., 2]) >= self.threshold)


class Cascade:
  """Detectors of falling rate: the first finds cuts, the others what is too slow for it.

  Args:
    levels: [(rate, threshold)], the finest first.
  """

  def __init__(self, levels):
    self.detectors = [Detector(*level) for level in levels]

  def feed(self, pts, seconds, frame):
    """Takes the next frame, uint8 [h w 3] in BGR."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)
    for detector in self.detectors:
      detector.feed(pts, seconds, hsv)

  def cuts(self):
    """Times of the first frame after each sudden cut, ascending."""
    return [after for _, after in self.detectors[0].hits]

  def bursts(self):
    """[(pts, pts)] around cuts in quick succession: a fast fade, whose ends are no cuts."""
    found, hits = [], self.detectors[0].hits
    for (before, after), (_, later) in zip(hits, hits[1:]):
      if later - after <= _BURST * (after - before):
        margin = _BURST * (after - before)
        found.append((before - margin, later + margin))
    return found

  def guards(self):
    """[(pts before, pts after)] of changes that only a slower detector saw."""
    found, guards = self.cuts(), []
    for detector in self.detectors[1:]:
      fresh = [(a, b) for a, b in detector.hits if not any(a < t <= b for t in found)]
      guards += fresh
      found = found + [b for _, b in fresh]
    return sorted(guards)
