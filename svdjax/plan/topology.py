"""Chips and how many of them a topology has."""

import math
import os
import re
from typing import NamedTuple

from svdjax.core.errors import BadInput
from svdjax.core.memory import free_bytes

GB, GIB = 10 ** 9, 2 ** 30


class Chip(NamedTuple):
  """What one accelerator has, from its maker's data sheet.

  Attributes:
    memory: bytes.
    flops: dense bfloat16 operations a second.
    bandwidth: of its memory, bytes a second.
    links: to all its neighbours together, bytes a second in one direction.
    lanes: width of its matrix unit; smaller sides of a product are padded to it.
  """
  memory: float
  flops: float
  bandwidth: float
  links: float
  lanes: int


CHIPS = {
    'v5e': Chip(16 * GIB, 197e12, 819 * GB, 100 * GB, 128),
    'v5p': Chip(95 * GIB, 459e12, 2765 * GB, 300 * GB, 128),
    'v6e': Chip(32 * GIB, 918e12, 1640 * GB, 224 * GB, 256),
    'a100': Chip(80 * GIB, 312e12, 2039 * GB, 300 * GB, 16),
    'h100': Chip(80 * GIB, 989e12, 3350 * GB, 450 * GB, 16),
    'h200': Chip(141 * GB, 989e12, 4800 * GB, 450 * GB, 16),
}
DIMENSIONS = {'v5e': 2, 'v5p': 3, 'v6e': 2}
SQUARE = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')  # slices of v5e and v6e
SMALL = ((1, 2, 2), (2, 2, 2), (2, 2, 4), (2, 4, 4))  # of v5p; larger ones have multiples of four
LARGEST = 6144  # chips of a v5p slice
NODE = 8  # GPUs that NVLink joins; from there on each has its share of the network, bytes a second
NETWORK = {'a100': 25 * GB, 'h100': 50 * GB, 'h200': 50 * GB}
EXAMPLES = 'v5e:4x4, v5p:4x4x8, v6e:16x16, gpu:8xh100 or cpu:8'


class Topology(NamedTuple):
  """A parsed --topology: `kind` is 'tpu', 'gpu' or 'cpu', `name` what the TPU compiler calls it."""
  kind: str
  name: str
  chip: Chip
  count: int


def parse(text):
  """'v5e:4x4' -> Topology.

  Raises:
    BadInput: it is none that is known, or no such slice of TPUs is made.
  """
  family, _, shape = text.partition(':')
  if family in DIMENSIONS and re.fullmatch(r'\d+(x\d+)*', shape):
    sizes = [int(n) for n in shape.split('x')]
    if len(sizes) == DIMENSIONS[family] and min(sizes):
      if not _made(sizes):
        raise BadInput(f'there are no {family} slices of {shape}: '
                       + (f'take one of {", ".join(SQUARE)}' if len(sizes) == 2 else
                          f'take multiples of four of at most {LARGEST} chips, or 2x2x1 to 2x4x4'))
      return Topology('tpu', text, CHIPS[family], math.prod(sizes))
  if family == 'gpu' and (match := re.fullmatch(r'([1-9]\d*)x(\w+)', shape)):
    if match[2] in CHIPS and match[2] not in DIMENSIONS:
      chip, count = CHIPS[match[2]], int(match[1])
      return Topology('gpu', text, chip if count <= NODE else chip._replace(
          links=NETWORK[match[2]]), count)
  if family == 'cpu' and re.fullmatch(r'[1-9]\d*', shape):
    return Topology('cpu', text, host(int(shape)), int(shape))
  raise BadInput(f'--topology {text} is unknown: use one like {EXAMPLES}')


def _made(sizes):
  if len(sizes) == 2:
    return 'x'.join(map(str, sizes)) in SQUARE
  return tuple(sorted(sizes)) in SMALL or (
      all(n % 4 == 0 for n in sizes) and math.prod(sizes) <= LARGEST)


def host(devices):
  """This machine's processor as `devices` chips.

  Its speed is taken as 16 fused multiply-adds a cycle and core at 2.5 GHz: a guess, since nothing
  states it.
  """
  memory = (free_bytes() or 16 * GIB) / devices
  return Chip(memory, 2 * 16 * 2.5e9 * (os.cpu_count() or 1) / devices, 10 * GB / devices,
              10 * GB / devices, 8)
