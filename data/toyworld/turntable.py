"""Convex solids with two-coloured sides, seen by a camera that circles them."""

import cv2
import numpy as np

from data.toyworld import world

_SIDES = np.radians([45, 135, 225, 315])
_DISTANCE = 4.0  # from the camera to the solid's centre, in units of its side
_LIGHT = np.array([-0.45, 0.75, 0.6]) / np.linalg.norm([-0.45, 0.75, 0.6])  # in the camera's frame
_PALE = (238, 236, 232)
_SHIFT = 4  # sub-pixel bits of cv2's polygon corners


def _square(y, radius):
  """Four corners [4 3] at height y, counter-clockwise from above; axes x right, y up, z near."""
  return np.stack([radius * np.sin(_SIDES), np.full(4, y), radius * np.cos(_SIDES)], axis=-1)


def solid(name):
  """(corners [n 3], faces): a face is (paint, corner numbers).

  Paint 0 and 1 are the first and second colour, 2 is pale. Neighbouring sides share a paint two
  by two, so that no two azimuths look alike.
  """
  around = [(k, (k + 1) % 4) for k in range(4)]
  paint = (0, 0, 1, 1)
  if name == 'cube':
    corners = np.concatenate([_square(-0.5, 0.71), _square(0.5, 0.71)])
    sides = [(paint[k], (a, b, b + 4, a + 4)) for k, (a, b) in enumerate(around)]
    return corners, [*sides, (2, (4, 5, 6, 7)), (2, (3, 2, 1, 0))]
  tip = [[0, 0.75, 0]]
  if name == 'pyramid':
    corners = np.concatenate([_square(-0.45, 0.8), tip])
    return corners, [*[(paint[k], (a, b, 4)) for k, (a, b) in enumerate(around)],
                     (2, (3, 2, 1, 0))]
  corners = np.concatenate([_square(0, 0.72), tip, [[0, -0.75, 0]]])
  upper = [(paint[k], (a, b, 4)) for k, (a, b) in enumerate(around)]
  lower = [(paint[k], (b, a, 5)) for k, (a, b) in enumerate(around)]
  return corners, upper + lower


def models():
  """The solids as `world.json` tells them: {name: {'corners', 'faces', 'distance'}}."""
  return {name: {'corners': np.round(solid(name)[0], 5).tolist(), 'faces': solid(name)[1],
                 'distance': _DISTANCE} for name in world.SOLIDS}


def azimuths(start, frames):
  """The camera's azimuth in each frame [t], degrees: one full circle over the clip."""
  return (start + 360 * np.arange(frames) / frames) % 360


def view(corners, azimuth, elevation):
  """Corners [n 3] in the camera's frame (x right, y up, z towards the camera).

  A growing azimuth moves the camera to its own right, a growing elevation moves it up (degrees).
  """
  a, e = np.radians(azimuth), np.radians(elevation)
  turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
  tilt = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
  return corners @ (tilt @ turn).T


def draw(scene, azimuth, height, width):
  """One view: (premultiplied colour [h w 3] in 0..255, alpha [h w] in 0..1), aliased."""
  paints = (world.COLORS[scene.color], world.COLORS[scene.second_color], _PALE)
  corners, faces = solid(scene.shape)
  corners = view(corners, azimuth, scene.elevation)
  flat = corners[:, :2] * (_DISTANCE / (_DISTANCE - corners[:, 2:])) * (1, -1)
  pixels = np.array([width, height]) * scene.start + flat * scene.size * height - 0.5
  canvas = np.zeros((height, width, 4), np.float32)
  a, b, c = np.stack([corners[list(numbers[:3])] for _, numbers in faces], axis=1)
  normals = np.cross(b - a, c - a)
  normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
  towards = (normals * ((0, 0, _DISTANCE) - a)).sum(axis=-1)
  for (paint, numbers), normal, facing in zip(faces, normals, towards):
    if facing <= 0:
      continue
    shade = 0.62 + 0.42 * max(normal @ _LIGHT, 0)
    points = np.round(pixels[list(numbers)] * 2**_SHIFT).astype(np.int32)
    cv2.fillConvexPoly(canvas, points, (*(shade * p for p in paints[paint]), 1), shift=_SHIFT)
  return np.minimum(canvas[..., :3], 255), canvas[..., 3]
