"""Fades: stretches in which every pixel moves on a straight line from one picture to another.

In a cross-fade or a fade to black, a frame is the average of the frames as far before and after
it. In a moving scene it is not; and where slow motion makes it so, motion explains the change.
"""

import cv2
import numpy as np

from data.curation import cuts

RATE = 8  # frames a second that are looked at
_SPANS = (2, 4, 8, 16)  # to frames this many before and after: 1/4, 1/2, 1 and 2 seconds
_BEND = 0.15  # largest distance from the straight line, as a share of the change
# A fade goes on at its ends where it changes so, over this reach: a share of its least change.
_ENDS = 2, 1 / 3, 0.3  # reach, share, bend
_DARK, _BRIGHT = 24, 231  # a frame with no pixel beyond is blank
_CHUNK = 4096
# Fades between shots that are mostly alike: of pixels that change by so many levels, this share of
# the frame must, and this share of them on a straight line.
_PIXEL_CHANGE, _AREA, _AGREEING = 20, 0.04, 0.75
_PARTLY = ((2, 0.5), (4, 0.7))  # (reach, least share of the change that motion does not explain)


def thumbnail_size(width, height):
  """(width, height) of the grey thumbnails that faded frames are recognised by."""
  scale = 32 / max(width, height)
  return max(4, round(width * scale)), max(4, round(height * scale))


def blanks(thumbnails):
  """bool [n]: frames that are black or white all over; thumbnails uint8 [n h w]."""
  flat = thumbnails.reshape(len(thumbnails), -1)
  return (flat.max(axis=1, initial=0) < _DARK) | (flat.min(axis=1, initial=255) > _BRIGHT)


def _straight(thumbnails, seconds, reach, least_change, most_bend=_BEND):
  """Indices of frames in the middle of a straight change between frames `reach` away."""
  found = []
  for low in range(reach, len(thumbnails) - reach, _CHUNK):
    middle = np.arange(low, min(low + _CHUNK, len(thumbnails) - reach))
    at = lambda k: thumbnails[middle + k].astype(np.float32)
    before, after = at(-reach), at(reach)
    change = np.abs(after - before).mean(axis=(1, 2))
    straight = change >= least_change
    for k in (-reach // 2, 0, reach // 2):  # at a quarter, half and three quarters of the way
      share = (k + reach) / (2 * reach)
      bend = np.abs(at(k) - (1 - share) * before - share * after).mean(axis=(1, 2))
      straight &= bend < most_bend * change
    steps = np.diff(np.stack([seconds[middle + k] for k in (-reach, 0, reach)]), axis=0)
    straight &= np.abs(steps[0] - steps[1]) < 0.25 * steps.max(axis=0)
    found.append(middle[straight])
  return np.concatenate(found) if found else np.zeros(0, int)


def _is_partly_straight(window, least_unexplained):
  """Whether the pixels that change most within a window, uint8 [2 reach + 1 h w], fade."""
  first, last = window[0].astype(np.float32), window[-1].astype(np.float32)
  change = np.abs(last - first)
  changed = change >= _PIXEL_CHANGE
  if changed.mean() < _AREA:
    return False
  straight, reach = changed.copy(), len(window) // 2
  for k in (reach // 2, reach, reach + reach // 2):
    share = k / (2 * reach)
    line = (1 - share) * first + share * last
    straight &= np.abs(window[k] - line) < 0.2 * change + 2
  if straight.sum() < _AGREEING * changed.sum():
    return False
  large = [cv2.resize(x, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
           for x in (window[0], window[-1])]
  return cuts.unexplained(*large) >= least_unexplained


def _follow(inside, thumbnails, seconds, least_change):
  """Lengthens fades, in place, by what they go on as, more slowly or less straight."""
  reach, share, bend = _ENDS
  going = np.zeros(len(inside), bool)
  going[_straight(thumbnails, seconds, reach, share * least_change, bend)] = True
  for step in (1, -1):
    for i in range(len(inside))[::step]:
      if going[i] and inside[i]:
        inside[max(i - reach, 0):i + reach + 1] = True


def intervals(thumbnails, seconds, least_change):
  """Where a video fades.

  Args:
    thumbnails: uint8 [n h w] grey, about RATE a second.
    seconds: [n] their times.
    least_change: mean change of a fade over one of the spans, in grey levels of 255.

  Returns:
    [(first, last)] indices of thumbnails, both included, ascending and apart.
  """
  inside = blanks(thumbnails)
  for reach in _SPANS:
    for i in _straight(thumbnails, seconds, reach, least_change):
      inside[i - reach:i + reach + 1] = True
  for reach, least in _PARTLY:
    for i in range(reach, len(thumbnails) - reach):
      around = slice(i - reach, i + reach + 1)
      if not inside[i] and seconds[around][-1] - seconds[around][0] < 3 * reach / RATE and (
          _is_partly_straight(thumbnails[around], least)):
        inside[around] = True
  _follow(inside, thumbnails, seconds, least_change)
  edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
  return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2])]
