"""Reads the camera's azimuth and elevation back out of frames of a turntable of the toy world.

The two colours of a solid's sides are masked by hue and compared with the solid seen from all
around, as its corners and faces in the data folder's `world.json` tell. A view of
one colour alone leaves a cube's azimuth open by 90 degrees.
"""

import cv2
import numpy as np

from svdjax.core.errors import BadInput
from svdjax.metrics import segment

_GRID, _SPAN = 40, 1.3  # template pixels a side, and half a side in units of sqrt(area)
_AZIMUTHS = np.arange(0, 360, 5.)
_ELEVATIONS = np.arange(0, 50, 5.)
_BLUR = 0.7  # template pixels
_LEAST_CONTRAST = 30.  # of the colours' chroma above the ground's, in 0..255


def view(corners, azimuth, elevation):
  """Corners [n 3] in the camera's frame (x right, y up, z towards it); degrees.

  A growing azimuth moves the camera to its own right, a growing elevation moves it up.
  """
  a, e = np.radians(azimuth), np.radians(elevation)
  turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
  tilt = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
  return corners @ (tilt @ turn).T


def _draw(model, azimuth, elevation):
  """Masks of both colours seen from a camera: [2 h w] float32."""
  side, distance = 3 * _GRID, model['distance']
  corners = view(np.array(model['corners']), azimuth, elevation)
  flat = corners[:, :2] * (distance / (distance - corners[:, 2:])) * (1, -1)
  pixels = np.round(flat * side / 3 + side / 2).astype(np.int32)
  masks = np.zeros((2, side, side), np.float32)
  for paint, numbers in model['faces']:
    a, b, c = corners[numbers[:3]]
    if paint < 2 and np.cross(b - a, c - a) @ ((0, 0, distance) - a) > 0:
      cv2.fillConvexPoly(masks[paint], pixels[numbers], 1)
  return masks


def _cut_out(masks):
  """Both masks [2 h w] cut out around their common centre, scaled to one area: [2 grid grid]."""
  both = np.clip(masks.sum(0), 0, 1)
  x, y = segment.centre(both)
  step = 2 * _SPAN * np.sqrt(both.sum()) / _GRID
  half = (_GRID - 1) / 2
  matrix = np.array([[step, 0, x - step * half], [0, step, y - step * half]])
  cut = [cv2.warpAffine(cv2.GaussianBlur(m, (0, 0), max(_BLUR * step, 0.1)), matrix,
                        (_GRID, _GRID), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
         for m in masks.astype(np.float32)]
  return np.stack(cut)


class PoseReader:
  """Reads poses of one solid.

  Args:
    world: a segment.World.
    shape: name of the solid.
    colors: its first and second colour, by name.

  Raises:
    BadInput: the world does not tell what the solid looks like.
  """

  def __init__(self, world, shape, colors):
    if shape not in world.solids:
      raise BadInput(f'the corners of the solid "{shape}" are not in world.json: make the data '
                     'again with `python -m data.toyworld`')
    self._hues = world.hues[[world.colors.index(c) for c in colors]]
    poses = [(a, e) for e in _ELEVATIONS for a in _AZIMUTHS]
    self._poses = np.array(poses)
    self._masks = np.stack([_cut_out(_draw(world.solids[shape], *p)) for p in poses])

  def read(self, frame):
    """The pose in one frame uint8 [h w 3]: (azimuth, elevation, overlap), nan if nothing is seen.

    Degrees; the overlap (IoU of the best template) is in 0..1.
    """
    masks = _segment(frame, self._hues)
    if masks is None:
      return np.full(3, np.nan)
    seen = _cut_out(masks)
    both = np.minimum(self._masks, seen).sum((1, 2, 3))
    overlap = both / (self._masks.sum((1, 2, 3)) + seen.sum() - both)
    best = overlap.argmax()
    return np.array([*self._poses[best], overlap[best]])


def _segment(frame, hues):
  """Masks of the two hues in a frame [h w 3]: [2 h w] in 0..1, or None where none is seen."""
  chroma = segment.chroma(frame)
  strength = np.abs(chroma)
  base, top = np.median(strength), np.sort(strength, axis=None)[-max(strength.size // 20, 1):].mean()
  if top - base < _LEAST_CONTRAST:
    return None
  soft = np.clip(2 * (strength - base) / (top - base) - 0.3, 0, 1)
  second = np.cos(np.angle(chroma) - hues[1]) > np.cos(np.angle(chroma) - hues[0])
  return np.stack([soft * ~second, soft * second])


def chance(elevation):
  """Mean errors in degrees of poses read at random: {'azimuth', 'elevation'}."""
  return {'azimuth': 90., 'elevation': float(np.abs(_ELEVATIONS - elevation).mean())}


def pose_error(readings, azimuth, elevation):
  """Mean errors of poses in degrees; what was not found counts as chance.

  Args:
    readings: [t 3] of `PoseReader.read`.
    azimuth: [t] true ones.
    elevation: of the camera, one number.

  Returns:
    {'azimuth': 0 to 180; 'elevation'; 'found': share of frames}.
  """
  readings, blind = np.asarray(readings), chance(elevation)
  found = np.isfinite(readings[:, 0])
  turn = np.abs((readings[:, 0] - np.asarray(azimuth) + 180) % 360 - 180)
  rise = np.abs(readings[:, 1] - elevation)
  return {'azimuth': float(np.where(found, turn, blind['azimuth']).mean()),
          'elevation': float(np.where(found, rise, blind['elevation']).mean()),
          'found': float(found.mean())}


def pose_errors(made, azimuths, truths, world):
  """How far made views of turntables, as they are read, are from where the camera should stand.

  Args:
    made: uint8 [b t h w 3]; the first view is given and left out.
    azimuths: [b t] true ones, in degrees.
    truths: for each clip, its truth with 'shape', 'color', 'second_color' and 'elevation'.
    world: a segment.World that tells the solids.

  Returns:
    {'azimuth', 'elevation': [b] mean errors in degrees}; a view in which nothing is seen counts as
    chance.
  """
  errors = {'azimuth': [], 'elevation': []}
  for clip, azimuth, facts in zip(made, azimuths, truths, strict=True):
    reader = PoseReader(world, facts['shape'], (facts['color'], facts['second_color']))
    readings = np.stack([reader.read(f) for f in clip[1:]])
    error = pose_error(readings, azimuth[1:], facts['elevation'])
    for angle, values in errors.items():
      values.append(error[angle])
  return {angle: np.array(values) for angle, values in errors.items()}


def still_view_error(azimuth):
  """The azimuth error of copying the first view: what a turntable must beat."""
  azimuth = np.asarray(azimuth)
  return float(np.abs((azimuth - azimuth[0] + 180) % 360 - 180).mean())
