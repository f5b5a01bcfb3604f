"""What happens in one clip, drawn from a seed: a pure function of (seed, split, index)."""

import dataclasses

import numpy as np

from data.toyworld import split as splits
from data.toyworld import world

# The centre of an object stays this far from the frame's edge for the whole clip.
_MARGIN = 0.05


@dataclasses.dataclass(frozen=True)
class Scene:
  """One clip. Rates are per clip, places in shares of the frame, angles in degrees."""
  kind: str
  shape: str
  color: str
  second_color: str  # every other face of a solid
  background: str
  tint: str
  direction: str  # of the object itself; 'none' if it stands still in the world
  move: str  # of the camera
  speed: str  # 'slowly', 'quickly' or '' where nothing moves
  travel: float  # share of the frame crossed by the object or the camera
  size: float  # side of the outline's unit square, share of the frame's height
  start: tuple  # centre in the first frame, x and y
  angle: float  # of the outline in the first frame, clockwise
  spin: float  # turn of the outline during the clip, clockwise
  azimuth: float  # of the camera in the first frame, so that both colours show well
  elevation: float
  texture_seed: int
  caption_seed: int


def _combination(rng, kind):
  """Draws (shape, colour, background, object direction, camera move)."""
  pick = lambda names: names[rng.integers(len(names))]
  color = pick(tuple(world.COLORS))
  directions = tuple(world.DIRECTIONS)
  if kind == 'turntable':
    return pick(world.SOLIDS), color, 'plain', 'none', 'none'
  background = pick(world.BACKGROUNDS)
  if kind == 'camera':
    return pick(world.SHAPES), color, background, 'none', pick((*directions, *world.ZOOMS))
  if kind == 'pointer':
    return world.POINTER, color, background, pick(directions), 'none'
  still = rng.random() < 0.1
  return pick(world.SHAPES), color, background, 'none' if still else pick(directions), 'none'


def _motion(rng, moves):
  """Draws (speed word, travel, start). The start says nothing about the direction.

  All four directions at one speed share one box of starts, from which each of them can run
  for the whole clip without leaving the frame.
  """
  speed = tuple(world.TRAVEL)[rng.integers(len(world.TRAVEL))] if moves else ''
  low, high = world.TRAVEL[speed or 'slowly']
  reach = 0.5 - _MARGIN - high
  start = tuple(float(x) for x in rng.uniform(0.5 - reach, 0.5 + reach, size=2))
  return speed, float(rng.uniform(low, high)) if moves else 0.0, start


def _turn(rng, kind, shape, direction):
  """Draws (angle of the first frame, turn during the clip) of the outline in degrees."""
  if kind == 'pointer':
    dx, dy = world.DIRECTIONS[direction]
    return float(np.degrees(np.arctan2(dy, dx))), 0.0
  if shape == 'circle' or kind == 'turntable':
    return 0.0, 0.0
  spins = kind in ('object', 'steady') and rng.random() < 0.3
  spin = rng.choice([-1, 1]) * rng.uniform(60, 120) if spins else 0.0
  return float(rng.uniform(-8, 8)), float(spin)


def sample(seed, split, index, kinds):
  """Draws clip `index` of a split.

  Args:
    seed: integer of the whole data set.
    split: 'train' or 'test'; only held-out combinations occur in 'test', none in 'train'.
    index: number of the clip.
    kinds: {kind: weight}.
  """
  rng = np.random.Generator(np.random.PCG64([seed, world.SPLITS.index(split), index]))
  weights = np.array(list(kinds.values()), float)
  kind = list(kinds)[rng.choice(len(kinds), p=weights / weights.sum())]
  while True:
    shape, color, background, direction, move = _combination(rng, kind)
    motion = move if direction == 'none' else direction
    if splits.held_out(shape, color, background, motion) == (split == 'test'):
      break
  others = [name for name in world.COLORS if name != color]
  speed, travel, start = _motion(rng, moves=motion != 'none')
  angle, spin = _turn(rng, kind, shape, direction)
  solid = kind == 'turntable'
  return Scene(
      kind=kind, shape=shape, color=color, background=background, direction=direction, move=move,
      second_color=others[rng.integers(len(others))] if solid else '',
      tint=tuple(world.TINTS)[rng.integers(len(world.TINTS))],
      speed=speed, travel=travel, start=(0.5, 0.5) if solid else start,
      size=float(rng.uniform(0.5, 0.58)),
      angle=angle, spin=spin,
      azimuth=float(rng.choice([45, 225]) + rng.uniform(-12, 12)) if solid else 0.0,
      elevation=float(rng.uniform(10, 35)) if solid else 0.0,
      texture_seed=int(rng.integers(2**31)), caption_seed=int(rng.integers(2**31)))
