"""Finds the saturated object on the pale ground of the toy world, by its hue.

All that must be known of the world stands in the data folder's `world.json`.
"""

import dataclasses
import json
import pathlib

import cv2
import numpy as np

from svdjax.core.errors import BadInput

_LEAST_CONTRAST = 40.0  # of an object's chroma above the ground's, in 0..255
_LEAST_AREA = 0.004  # of an object, share of the frame
_GRID, _SPAN = 36, 1.2  # template pixels a side, and half a side in units of sqrt(area)
_STEP = 10  # degrees between the rotations of a template
_BLURS = (0.04, 0.12, 0.19, 0.27)  # of templates, in units of sqrt(area)


@dataclasses.dataclass(frozen=True)
class World:
  """What a reader knows: hues, outlines as templates, directions."""
  colors: tuple  # names
  hues: np.ndarray  # [colors] radians in the opponent plane
  shapes: tuple  # the name of each template
  templates: np.ndarray  # [templates grid grid] in 0..1
  directions: dict  # {name: unit vector}
  solids: dict  # {name: {'corners', 'faces', 'distance'}}


def load_world(data_dir):
  """Reads a data folder's `world.json`.

  Raises:
    BadInput: the folder is not one of the toy world.
  """
  path = pathlib.Path(data_dir) / 'world.json'
  if not path.is_file():
    raise BadInput(f'data folder {data_dir} has no world.json, so the truth of its clips is '
                   'unknown: give a folder made by `python -m data.toyworld`')
  return make_world(json.loads(path.read_text()))


def make_world(description):
  """Turns the contents of `world.json` into a World."""
  named = [(shape, template) for shape, polygon in description['outlines'].items()
           for template in _templates(np.array(polygon))]
  shapes, templates = zip(*named)
  rgb = np.array(list(description['colors'].values()), np.float32)
  return World(tuple(description['colors']), np.angle(chroma(rgb)), shapes, np.stack(templates),
               description['directions'], description.get('models', {}))


def chroma(rgb):
  """[... 3] in 0..255 -> complex [...]: distance from grey, angle of the hue."""
  r, g, b = np.moveaxis(np.asarray(rgb, np.float32), -1, 0)
  return (r - (g + b) / 2) + 1j * (np.sqrt(3) / 2) * (g - b)


def _templates(polygon, resolution=8):
  """Yields an outline [n 2] at all rotations and blurs, cut out like an object in a frame."""
  side = 3 * _GRID * resolution
  scale = resolution * _GRID
  for degrees in range(0, 360, _STEP):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = (polygon @ np.array([[c, s], [-s, c]]) * scale + side / 2).astype(np.int32)
    mask = np.zeros((side, side), np.float32)
    cv2.fillPoly(mask, [points], 1)
    mask = cv2.resize(mask, (3 * _GRID, 3 * _GRID), interpolation=cv2.INTER_AREA)
    for blur in _BLURS:
      soft = cv2.GaussianBlur(mask, (0, 0), blur * np.sqrt(mask.sum()))
      yield cut_out(_segment(255 * soft))


def centre(soft):
  """The centroid (x, y) of a soft mask [h w] in pixels."""
  y, x = np.indices(soft.shape)
  return np.array([(soft * x).sum(), (soft * y).sum()]) / soft.sum()


def cut_out(soft):
  """Scales a soft mask [h w] to one area, its centroid in the middle -> [grid grid] in 0..1."""
  soft = np.clip(soft, 0, 1)
  x, y = centre(soft)
  step = 2 * _SPAN * np.sqrt((soft > 0.5).sum()) / _GRID
  half = (_GRID - 1) / 2
  matrix = np.array([[step, 0, x - step * half], [0, step, y - step * half]])
  return cv2.warpAffine(soft.astype(np.float32), matrix, (_GRID, _GRID),
                        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _vote(chroma, world):
  """The number of the colour whose hue most of the saturated pixels of a clip [t h w] have."""
  strength = np.abs(chroma)
  top = np.sort(strength, axis=None)[-max(strength.size // 50, 1):].mean()
  saturated = chroma[strength > 0.5 * (top + np.median(strength))]
  nearest = np.cos(np.angle(saturated)[:, None] - world.hues).argmax(axis=1)
  return np.bincount(nearest, np.abs(saturated), minlength=len(world.hues)).argmax()


def _segment(response):
  """The object in one frame's response [h w] -> soft mask [h w] in 0..1, or None."""
  base, reach = np.median(response), 2 * round(0.04 * len(response)) + 1
  top = np.sort(response, axis=None)[-max(response.size // 50, 1):].mean()
  for _ in range(2):
    if top - base < _LEAST_CONTRAST:
      return None
    inside = (response > (base + top) / 2).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside)
    biggest = 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    top = np.percentile(response[labels == biggest], 60)
  if stats[biggest, cv2.CC_STAT_AREA] < _LEAST_AREA * response.size:
    return None
  around = cv2.dilate((labels == biggest).astype(np.uint8), np.ones((reach, reach), np.uint8))
  return np.clip((response - base) / (top - base), 0, 1) * around


def objects(frames, world):
  """Finds the one object of a clip, most saturated of all.

  Args:
    frames: [t h w 3] uint8.
    world: a World.

  Returns:
    (colour name, list of each frame's soft mask [h w] in 0..1, None where nothing is seen).
  """
  seen = chroma(frames)
  color = _vote(seen, world)
  response = np.real(seen * np.exp(-1j * world.hues[color]))
  return world.colors[color], [_segment(r) for r in response]
