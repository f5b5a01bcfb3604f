"""What exists in the toy world: colours, outlines, backgrounds and the words for motion."""

import math

import numpy as np

# Hues at least 45 degrees apart, all saturated; backgrounds never are.
COLORS = {
    'red': (222, 36, 42),
    'yellow': (244, 204, 20),
    'green': (34, 168, 52),
    'cyan': (20, 196, 208),
    'blue': (40, 70, 226),
    'purple': (178, 40, 204),
}
TINTS = {
    'grey': (196, 197, 200),
    'tan': (206, 194, 178),
    'mint': (182, 202, 190),
    'lilac': (196, 188, 208),
}
BACKGROUNDS = ('stripes', 'checks', 'waves', 'clouds', 'dots', 'rings')
SHAPES = ('circle', 'square', 'triangle', 'cross', 'star')
POINTER = 'arrow'
SOLIDS = ('cube', 'pyramid', 'diamond')
# 'steady' is what 'object' is, on the ground of 'camera': first frames do not tell which moves.
KINDS = ('object', 'pointer', 'camera', 'steady', 'turntable')
SPLITS = ('train', 'test')
# Unit vectors in the image, x to the right and y down.
DIRECTIONS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
ZOOMS = ('in', 'out')
# Share of the frame crossed during one clip; a zoom changes the scale by 1 + 1.6 times as much.
TRAVEL = {'slowly': (0.20, 0.26), 'quickly': (0.36, 0.42)}


def _ring(radii, start_deg=-90.0):
  """Corners at the given distances [n] from (0, 0), evenly spread in angle -> [n 2]."""
  angles = np.radians(start_deg) + 2 * math.pi * np.arange(len(radii)) / len(radii)
  return np.stack([np.cos(angles), np.sin(angles)], axis=-1) * np.asarray(radii)[:, None]


def _centred(points):
  """Moves a polygon [n 2] so that the centroid of its area is (0, 0)."""
  x, y = np.asarray(points, float).T
  cross = x * np.roll(y, -1) - np.roll(x, -1) * y
  centroid = [((z + np.roll(z, -1)) * cross).sum() / (3 * cross.sum()) for z in (x, y)]
  return np.asarray(points, float) - centroid


def outlines():
  """{shape: polygon [n 2]} around the centroid (0, 0), y down, within about [-0.55, 0.55].

  Multiplied by `size` the polygon is in shares of the frame's height. The arrow points right.
  """
  a, b = 0.17, 0.48
  cross = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a),
           (-b, a), (-b, -a), (-a, -a)]
  arrow = [(-.5, -.15), (0, -.15), (0, -.4), (.55, 0), (0, .4), (0, .15), (-.5, .15)]
  return {
      'circle': _ring([0.4] * 48),
      'square': _ring([0.5] * 4, start_deg=-135),
      'triangle': _ring([0.55] * 3),
      'cross': np.array(cross),
      'star': _ring([0.54, 0.25] * 5),
      POINTER: _centred(arrow),
  }


def describe():
  """What `world.json` says of the world, so that a reader of clips needs no code from here."""
  return {
      'colors': COLORS,
      'tints': TINTS,
      'outlines': {name: np.round(p, 5).tolist() for name, p in outlines().items()},
      'solids': SOLIDS,
      'directions': DIRECTIONS,
      'camera_moves': [*DIRECTIONS, *ZOOMS],
      'backgrounds': [*BACKGROUNDS, 'plain'],
  }
