"""Reads colour, shape and direction back out of frames of the toy world, with no network.

The object is segmented by its hue, named by its outline and followed.
"""

import dataclasses

import numpy as np

from svdjax.metrics import segment
from svdjax.metrics.camera import read_camera  # the whole reader under one name
from svdjax.metrics.segment import load_world

_LEAST_DISPLACEMENT = 0.025  # between first and last frame, share of the frame


@dataclasses.dataclass(frozen=True)
class Reading:
  """What was read. `displacement` and `area` are shares of the frame; names '' if not found."""
  found: bool
  color: str = ''
  shape: str = ''
  direction: str = ''
  displacement: tuple = (0.0, 0.0)  # x and y, between the first and the last frame
  area: float = 0.0
  confidence: float = 0.0  # overlap (IoU) with the best outline


def _overlap(mask, templates):
  """Soft intersection over union of a mask [g g] with each template [n g g] -> [n]."""
  both = np.minimum(mask, templates).sum((1, 2))
  return both / (mask.sum() + templates.sum((1, 2)) - both)


def _name_shape(masks, world):
  """(shape, overlap) of the outline that the masks [h w] match best, each at its best turn."""
  edge = lambda m: max(m[0].max(), m[-1].max(), m[:, 0].max(), m[:, -1].max())
  masks = [m for m in masks if edge(m) < 0.5] or masks
  overlap = np.stack([_overlap(segment.cut_out(m), world.templates) for m in masks])
  shapes = np.array(world.shapes)
  scores = {name: overlap[:, shapes == name].max(axis=1).mean() for name in set(world.shapes)}
  best = max(sorted(scores), key=scores.get)
  return best, float(scores[best])


def _displacement(times, places, frames):
  """Theil-Sen: the median slope between all pairs of places [n 2], over the whole clip."""
  i, j = np.triu_indices(len(times), 1)
  if len(i) == 0:
    return 0.0, 0.0
  slopes = (places[j] - places[i]) / (times[j] - times[i])[:, None]
  return tuple(float(x) for x in np.median(slopes, axis=0) * (frames - 1))


def _name_direction(displacement, world):
  """The direction nearest to a displacement (x, y), 'none' if it is too short."""
  if max(np.abs(displacement)) < _LEAST_DISPLACEMENT:
    return 'none'
  return max(world.directions, key=lambda d: np.dot(world.directions[d], displacement))


def read_clip(frames, world):
  """Reads the one object of a clip.

  Args:
    frames: [t h w 3] uint8.
    world: a World, see `load_world`.

  Returns:
    A Reading; not found if fewer than half of the frames show an object.
  """
  color, masks = segment.objects(frames, world)
  seen = [i for i, mask in enumerate(masks) if mask is not None]
  if 2 * len(seen) < len(frames):
    return Reading(found=False)
  height, width = frames.shape[1:3]
  places = np.array([segment.centre(masks[i]) for i in seen]) / (width, height)
  displacement = _displacement(np.array(seen), places, len(frames))
  shape, confidence = _name_shape([masks[i] for i in seen], world)
  area = float(np.mean([(masks[i] > 0.5).mean() for i in seen]))
  return Reading(True, color, shape, _name_direction(displacement, world), displacement, area,
                 confidence)


def read_image(image, world):
  """Reads the one object of an image [h w 3] uint8; its direction is 'none'."""
  return read_clip(image[None], world)


def accuracy(readings, truths):
  """Shares of clips read as they truly are; what was not found counts as wrong.

  Args:
    readings: list of Reading.
    truths: list of truths (dicts), one for each reading. Solids are left out; the direction is
      asked of kinds 'object' and 'pointer' alone.

  Returns:
    {'color', 'shape', 'direction': share in 0..1 (nan if of no clip), 'n', 'n_direction'}.
  """
  pairs = [(r, t) for r, t in zip(readings, truths, strict=True) if t['kind'] != 'turntable']
  moving = [(r, t) for r, t in pairs if t['kind'] in ('object', 'pointer')]
  share = lambda name, of: (float(np.mean([getattr(r, name) == t[name] for r, t in of]))
                            if of else float('nan'))
  return {'color': share('color', pairs), 'shape': share('shape', pairs),
          'direction': share('direction', moving), 'n': len(pairs), 'n_direction': len(moving)}


def readable(videos, truths, world):
  """`accuracy` of clips [b t h w 3], whose colour, shape and direction are read from the frames."""
  return accuracy([read_clip(v, world) for v in videos], truths)


def chance(world):
  """What guessing reaches: {'color', 'shape', 'direction': share of clips}."""
  return {'color': 1 / len(world.colors), 'shape': 1 / len(set(world.shapes)),
          'direction': 1 / len(world.directions)}
