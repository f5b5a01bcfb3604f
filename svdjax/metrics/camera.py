"""Reads the camera's move back out of frames, from the motion of the ground."""

import dataclasses

import cv2
from einops import rearrange
import numpy as np

from svdjax.metrics import segment

_LEAST_DISPLACEMENT = 0.025  # at the frame's edge between first and last frame, share of it
_ROUNDS = 6  # Gauss-Newton steps


@dataclasses.dataclass(frozen=True)
class CameraReading:
  """The camera's `move`, with the ground's displacement and growth from first to last frame."""
  move: str
  displacement: tuple
  zoom: float


def _ground_motion(gray, weight, guess):
  """Refines (dx, dy, growth) per frame, in half widths, by one Gauss-Newton step.

  Args:
    gray: [t h w] float32.
    weight: [t h w], 0 where the object is.
    guess: [3] the motion so far.
  """
  height, width = gray.shape[1:]
  y, x = np.indices((height, width), dtype=np.float32)
  x, y = (2 * x + 1) / width - 1, (2 * y + 1) / width - height / width
  to_x, to_y = guess[0] + (1 + guess[2]) * x, guess[1] + (1 + guess[2]) * y
  map_x = ((to_x + 1) * width - 1) / 2
  map_y = ((to_y + height / width) * width - 1) / 2
  inside = (map_x > 2) & (map_x < width - 3) & (map_y > 2) & (map_y < height - 3)
  moved = np.stack([cv2.remap(g, np.float32(map_x), np.float32(map_y), cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE) for g in gray[1:]])
  mean = (moved + gray[:-1]) / 2
  down, right = np.gradient(mean, axis=(1, 2))
  w = (weight[1:] * weight[:-1] * inside).ravel()
  slopes = np.stack([right, down, right * x + down * y], axis=-1) * (width / 2)
  slopes = rearrange(slopes, 't h w p -> (t h w) p')
  normal = (slopes * w[:, None]).T @ slopes + 1e-3 * np.eye(3)
  return guess + np.linalg.solve(normal, -(slopes * w[:, None]).T @ (moved - gray[:-1]).ravel())


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
    A CameraReading; a camera that pans left sees the ground move right.
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
  move = best if candidates[best] >= _LEAST_DISPLACEMENT else 'none'
  return CameraReading(move, tuple(float(x) for x in seen), zoom)
