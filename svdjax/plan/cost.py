"""Arithmetic, memory traffic and collectives of a training step, read from its trace."""

import collections
import math
from typing import NamedTuple

import numpy as np

from svdjax.core.memory import STORED, nbytes

ELEMENTWISE = ('add', 'sub', 'mul', 'div', 'max', 'min', 'neg', 'sqrt', 'rsqrt', 'square',
               'integer_pow', 'select_n', 'reduce_sum', 'reduce_max', 'add_any', 'exp', 'tanh',
               'logistic', 'erf')


class Cost(NamedTuple):
  """Of one step over all chips.

  Attributes:
    flops: floating-point operations, a multiply-add being two.
    products: {(flops, bytes): how often} of matrix products and convolutions, with their sides
      padded to the lanes of the chip.
    bytes: read and written by all other operations whose results lie in memory.
    collectives: {kind: bytes that each chip sends}.
  """
  flops: float
  products: collections.Counter
  bytes: float
  collectives: collections.Counter

  @property
  def traffic(self):
    """Bytes of all operations."""
    return self.bytes + sum(n * size for (_, size), n in self.products.items())


class Weights(NamedTuple):
  """Which values of a trace are parameters: their shapes and over how many chips each is split."""
  splits: dict[tuple[int, ...], int]
  mesh: dict[str, int]


def inner(equation, loops=True):
  """The jaxprs that an equation calls, with how often each runs, or once if not `loops`."""
  scan = loops and equation.primitive.name == 'scan'
  times = equation.params.get('length', 1) if scan else 1
  for value in equation.params.values():
    for candidate in value if isinstance(value, (tuple, list)) else (value,):
      jaxpr = getattr(candidate, 'jaxpr', candidate)
      if hasattr(jaxpr, 'eqns'):
        yield jaxpr, times


def count(jaxpr, weights, lanes, loops=True):
  """The Cost of a jaxpr, traced under the mesh.

  Args:
    jaxpr: of the whole step.
    weights: Weights.
    lanes: of the chip.
    loops: whether the body of a loop counts as often as it runs; XLA counts it once.
  """
  total = {'flops': 0., 'bytes': 0.}
  products, moved = collections.Counter(), collections.Counter()

  def walk(jaxpr, times):
    """Adds what a jaxpr costs that runs so many times, and those it calls."""
    where = {}  # value -> the specification it was last constrained to
    for equation in jaxpr.eqns:
      name = equation.primitive.name
      for called, again in inner(equation, loops):
        walk(called, times * again)
      if name == 'sharding_constraint':
        for kind, size in collective(equation, where, weights):
          moved[kind] += times * size
        where[equation.outvars[0]] = equation.params['sharding'].spec
      flops, padded = arithmetic(equation, lanes)
      traffic = sum(moved_bytes(v.aval, weights) for v in (*equation.invars, *equation.outvars))
      total['flops'] += times * flops
      if padded:
        products[padded, traffic] += times
      elif name in STORED and not any(True for _ in inner(equation)):
        total['bytes'] += times * traffic

  walk(jaxpr, 1)
  return Cost(total['flops'], products, total['bytes'], moved)


def moved_bytes(aval, weights):
  """Bytes of a value over all chips: parameters are there once for each group that splits them."""
  if aval.shape not in weights.splits:
    return nbytes(aval)
  copies = math.prod(weights.mesh.values())
  if aval.dtype == np.float32:  # the rest are gathered for the layer that reads them
    copies /= weights.splits[aval.shape]
  return copies * nbytes(aval)


def arithmetic(equation, lanes):
  """(operations, operations with sides padded to the lanes or 0 if it is no product)."""
  name, out = equation.primitive.name, equation.outvars[0].aval if equation.outvars else None
  if name == 'dot_general':
    left, right = (v.aval.shape for v in equation.invars)
    (contract, other), (batch, _) = equation.params['dimension_numbers']
    k = math.prod(left[i] for i in contract)
    outer = math.prod(left[i] for i in batch)
    m = math.prod(left) // max(k * outer, 1)
    n = math.prod(right) // max(k * outer, 1)
    return 2. * outer * m * n * k, 2. * outer * m * pad(n, lanes) * pad(k, lanes)
  if name == 'conv_general_dilated':
    return convolution(equation, lanes)
  if name in ELEMENTWISE and out is not None and np.issubdtype(out.dtype, np.floating):
    return float(max(math.prod(v.aval.shape) for v in (*equation.invars, *equation.outvars))), 0
  return 0., 0


def pad(n, lanes):
  """n, rounded up to whole lanes."""
  return -(-n // lanes) * lanes


def convolution(equation, lanes):
  """As `arithmetic`, of a convolution; products with padding and dilation zeros are left out."""
  p = equation.params
  dims = p['dimension_numbers']
  left, right = (v.aval.shape for v in equation.invars)
  out = equation.outvars[0].aval.shape
  pairs = 1
  for axis, (low, _) in enumerate(p['padding']):
    taps = np.arange(right[dims.rhs_spec[2 + axis]])[None] * p['rhs_dilation'][axis]
    places = np.arange(out[dims.out_spec[2 + axis]])[:, None] * p['window_strides'][axis]
    at, step = taps + places - low, p['lhs_dilation'][axis]
    size = (left[dims.lhs_spec[2 + axis]] - 1) * step
    pairs *= int(((at >= 0) & (at <= size) & (at % step == 0)).sum())
  clips, o, i = out[dims.out_spec[0]], out[dims.out_spec[1]], right[dims.rhs_spec[1]]
  return 2. * clips * pairs * i * o, 2. * clips * pairs * pad(i, lanes) * pad(o, lanes)


def collective(equation, where, weights):
  """Yields (kind, bytes that a chip sends) of what a constraint asks for."""
  source, aval = equation.invars[0], equation.outvars[0].aval
  spec, mesh = equation.params['sharding'].spec, weights.mesh
  fsdp, others = mesh['fsdp'], mesh['data'] * mesh['frame']
  axes, size = axes_of(spec), nbytes(aval)
  if aval.shape in weights.splits and fsdp > 1 and weights.splits[aval.shape] > 1:
    if not axes:
      yield 'all-gather', size * (fsdp - 1) / fsdp
    elif axes == {'fsdp'}:
      yield 'reduce-scatter', size * (fsdp - 1) / fsdp
      yield 'all-reduce', 2 * size / fsdp * (others - 1) / others
  earlier = where.get(source)
  if earlier is not None and 'frame' in axes and place(earlier) not in (None, place(spec)):
    chips, parts = math.prod(mesh.values()), mesh['frame']
    yield 'all-to-all', size / chips * (parts - 1) / parts


def axes_of(spec):
  """The mesh axes of a PartitionSpec."""
  return {axis for entry in spec if entry for axis in
          (entry if isinstance(entry, tuple) else (entry,))}


def place(spec):
  """Which axis of an array lies on `frame` alone, or None."""
  return next((i for i, entry in enumerate(spec) if entry == 'frame'), None)
