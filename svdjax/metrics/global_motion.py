"""The camera's move in any clip, from the motion that most of the picture shares."""

import dataclasses
import math

import cv2
import numpy as np

from svdjax.inputs import motion

_ROUNDS = 10  # of reweighting
_SPREAD = 0.002  # flow that counts as agreeing, in frame diagonals
_LEAST = 0.01  # displacement at the frame's edge that is a move, in diagonals a clip
_SHARED = 0.4  # of the picture must move or stand together, or no camera can be read

MOVES = ('static', 'left', 'right', 'up', 'down', 'in', 'out')


@dataclasses.dataclass(frozen=True)
class GlobalMotion:
  """The camera's move over a clip.

  Attributes:
    move: one of MOVES, '' where too little of the picture moves or stands together to tell; a
      camera that pans left sees the picture move right.
    pan: (x, y) displacement of the picture from first to last frame, in widths and heights.
    zoom: growth of the picture; above 1 where the camera moves in.
    shared: share of the picture that moves together, mean over the frames.
  """
  move: str
  pan: tuple
  zoom: float
  shared: float


def _fit(before, after):
  """(shift x, shift y, growth, share that agrees) between two frames [h w].

  Optical flow is fitted by d + g p, p from the centre, in units of the diagonal; what disagrees
  counts less and less (Geman-McClure weights, from a median start), and what has no texture, where
  flow is a guess, does not count.
  """
  flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, None)
  height, width = before.shape
  diagonal = math.hypot(height, width)
  y, x = np.indices(before.shape)
  x, y = (x - (width - 1) / 2) / diagonal, (y - (height - 1) / 2) / diagonal
  u, v = flow[..., 0] / diagonal, flow[..., 1] / diagonal
  slope = np.hypot(*np.gradient(cv2.GaussianBlur(before.astype(np.float32), (0, 0), 2)))
  texture = slope / (slope + 2)
  a, b, g = np.median(u), np.median(v), 0.
  for _ in range(_ROUNDS):
    error = (u - a - g * x) ** 2 + (v - b - g * y) ** 2
    w = texture / (1 + error / _SPREAD ** 2) ** 2
    total = w.sum() + 1e-9
    mean_x, mean_y = (w * x).sum() / total, (w * y).sum() / total
    mean_u, mean_v = (w * u).sum() / total, (w * v).sum() / total
    dx, dy = x - mean_x, y - mean_y
    g = (w * (dx * (u - mean_u) + dy * (v - mean_v))).sum() / (
        (w * (dx ** 2 + dy ** 2)).sum() + 1e-9)
    a, b = mean_u - g * mean_x, mean_v - g * mean_y
  agrees = (u - a - g * x) ** 2 + (v - b - g * y) ** 2 < (3 * _SPREAD) ** 2
  return a * diagonal / width, b * diagonal / height, g, float(agrees.mean())


def measure(frames):
  """The camera's move in frames uint8 [t h w 3], t > 1, no more than a fifth of the frame a step.

  Returns:
    A GlobalMotion.
  """
  grey = [cv2.cvtColor(motion.for_flow(f), cv2.COLOR_RGB2GRAY) for f in frames]
  steps = np.array([_fit(a, b) for a, b in zip(grey, grey[1:])])
  pan_x, pan_y, zoom = 0., 0., 1.
  for x, y, growth, _ in steps:  # a displacement is magnified by the zooms that follow it
    pan_x, pan_y, zoom = (1 + growth) * pan_x + x, (1 + growth) * pan_y + y, (1 + growth) * zoom
  height, width = frames.shape[1:3]
  share = np.array([width, height]) / math.hypot(width, height)
  strength = {'left': pan_x * share[0], 'right': -pan_x * share[0], 'up': pan_y * share[1],
              'down': -pan_y * share[1], 'in': math.log(zoom) / 2, 'out': -math.log(zoom) / 2}
  best, shared = max(strength, key=strength.get), float(steps[:, 3].mean())
  move = best if strength[best] >= _LEAST else 'static'
  return GlobalMotion(move if shared >= _SHARED else '', (float(pan_x), float(pan_y)), float(zoom),
                      shared)


def recognition(clips, wanted):
  """Share of clips whose camera moves as wanted, in 0..1.

  Args:
    clips: uint8 [t h w 3] each.
    wanted: for each, one of MOVES, 'horizontal' (left or right), 'vertical' or 'zoom'.
  """
  families = {'horizontal': ('left', 'right'), 'vertical': ('up', 'down'), 'zoom': ('in', 'out')}
  right = [measure(c).move in families.get(w, (w,)) for c, w in zip(clips, wanted, strict=True)]
  return float(np.mean(right))
