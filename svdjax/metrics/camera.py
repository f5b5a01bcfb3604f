"""Reads the camera's move back out of frames, from the motion of the ground."""

import dataclasses

import cv2
from einops import rearrange
import numpy as np

from svdjax.metrics import segment

_LEAST_DISPLACEMENT = 0.025  # at the frame's edge between first and last frame, share of it
_ROUNDS = 6  # Gauss-Newton steps
_MOST_UNEXPLAINED = 0.5  # of the ground's contrast; more, and its frames are not of one ground
_NOISE = 1.  # grey levels of each frame that a plain ground may flicker by


@dataclasses.dataclass(frozen=True)
class CameraReading:
  """What is read of a camera.

  Attributes:
    move: its name, 'none' where the camera stands still and '' where the ground shows neither.
    displacement: (x, y) of the ground from first to last frame, in widths and heights.
    zoom: growth of the ground from first to last frame.
    unexplained: share of the ground's contrast that this motion leaves between frames; about 0 of
      one ground with a pattern, 1 of unrelated frames.
  """
  move: str
  displacement: tuple
  zoom: float
  unexplained: float = 0.


def _moved(gray, motion):
  """Each frame but the first, seen from the one before it if all moves so.

  Args:
    gray: [t h w] float32.
    motion: (dx, dy, growth) per frame, in half widths.

  Returns:
    ([t-1 h w] frames, [h w] whether they show anything there, x, y [h w] in half widths).
  """
  height, width = gray.shape[1:]
  y, x = np.indices((height, width), dtype=np.float32)
  x, y = (2 * x + 1) / width - 1, (2 * y + 1) / width - height / width
  to_x, to_y = motion[0] + (1 + motion[2]) * x, motion[1] + (1 + motion[2]) * y
  map_x = ((to_x + 1) * width - 1) / 2
  map_y = ((to_y + height / width) * width - 1) / 2
  inside = (map_x > 2) & (map_x < width - 3) & (map_y > 2) & (map_y < height - 3)
  moved = np.stack([cv2.remap(g, np.float32(map_x), np.float32(map_y), cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE) for g in gray[1:]])
  return moved, inside, x, y


def _ground_motion(gray, weight, guess):
  """Refines (dx, dy, growth) per frame, in half widths, by one Gauss-Newton step.

  Args:
    gray: [t h w] float32.
    weight: [t h w], 0 where the object is.
    guess: [3] the motion so far.
  """
  moved, inside, x, y = _moved(gray, guess)
  mean = (moved + gray[:-1]) / 2
  down, right = np.gradient(mean, axis=(1, 2))
  w = (weight[1:] * weight[:-1] * inside).ravel()
  slopes = np.stack([right, down, right * x + down * y], axis=-1) * (gray.shape[2] / 2)
  slopes = rearrange(slopes, 't h w p -> (t h w) p')
  normal = (slopes * w[:, None]).T @ slopes + 1e-3 * np.eye(3)
  return guess + np.linalg.solve(normal, -(slopes * w[:, None]).T @ (moved - gray[:-1]).ravel())


def _unexplained(gray, weight, motion, noise=0.):
  """Share of the ground's contrast that `motion` leaves between frames, infinite of no ground.

  Args:
    gray, weight: as of `_ground_motion`.
    motion: (dx, dy, growth) per frame, in half widths.
    noise: grey levels that count as contrast of each frame.
  """
  after, inside, *_ = _moved(gray, motion)
  before, w = gray[:-1], weight[1:] * weight[:-1] * inside
  if not w.any():
    return float('inf')
  mean = lambda x: (w * x).sum((1, 2), keepdims=True) / (w.sum((1, 2), keepdims=True) + 1e-9)
  contrast = (before - mean(before)) ** 2 + (after - mean(after)) ** 2 + 2 * noise ** 2
  return float((w * (after - before) ** 2).sum() / ((w * contrast).sum() + 1e-9))


def _move(gray, weight, motion, best):
  """(the move, what it leaves unexplained): `best` if `motion` is what is seen, else 'none' or ''.

  Args:
    gray, weight, motion: as of `_unexplained`.
    best: the move that `motion` amounts to.
  """
  left = _unexplained(gray, weight, motion)
  if left <= _MOST_UNEXPLAINED:
    return best, left
  still = _unexplained(gray, weight, np.zeros(3), _NOISE) <= _MOST_UNEXPLAINED
  return 'none' if still else '', left


def _ground(frames, world):
  """1 on the ground, 0 on the object and its shadow: [t h w] float32."""
  reach = 2 * round(0.08 * frames.shape[1]) + 1
  masks = [m if m is not None else np.zeros(frames.shape[1:3])
           for m in segment.objects(frames, world)[1]]
  return np.stack([1 - cv2.dilate(np.float32(m > 0.1), np.ones((reach, reach))) for m in masks])


def read_camera(frames, world):
  """Reads the camera's move, taken to be steady, from the motion of the ground.

  Args:
    frames: [t h w 3] uint8.
    world: a World.

  Returns:
    A CameraReading; a camera that pans left sees the ground move right. Its move is '' where no
    motion explains how one frame follows from another.
  """
  height, width = frames.shape[1:3]
  if len(frames) < 2:
    return CameraReading('none', (0.0, 0.0), 1.0)
  weight = _ground(frames, world)
  gray = np.stack([cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0),
                                    0.025 * height) for f in frames])
  motion = np.zeros(3)
  for _ in range(_ROUNDS):
    motion = _ground_motion(gray, weight, motion)
  steps = len(frames) - 1
  seen = steps * motion[0] / 2, steps * motion[1] / 2 * width / height
  zoom = float((1 + motion[2]) ** steps)
  candidates = {name: -np.dot(direction, seen) for name, direction in world.directions.items()}
  candidates |= {'in': np.log(zoom) / 2, 'out': -np.log(zoom) / 2}  # at the frame's edge
  best = max(candidates, key=candidates.get)
  best = best if candidates[best] >= _LEAST_DISPLACEMENT else 'none'
  move, left = _move(gray, weight, motion, best)
  return CameraReading(move, tuple(float(x) for x in seen), zoom, left)
