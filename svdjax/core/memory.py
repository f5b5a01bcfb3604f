"""Predicted memory of a function before it is compiled."""

import collections
import math
import pathlib
import resource
from typing import NamedTuple

import jax
from jax.extend.core import Literal

# What these read and give lies in memory. Of other values, those do that are read more than once
# and are costly, cannot be computed again without something costly, or are made from two stored
# arrays of their size; XLA computes the rest again in each reader.
STORED = ('conv_general_dilated', 'dot_general', 'reduce_sum', 'reduce_max', 'argmax', 'cumsum',
          'sort', 'gather', 'scatter-add', 'concatenate', 'scan', 'while', 'cond')
COSTLY = ('exp', 'log', 'logistic', 'tanh', 'erf', 'erfc', 'sin', 'cos', 'div', 'sqrt', 'rsqrt',
          'pow')
LOOPS = ('scan', 'while', 'cond')
VIEWS = ('reshape', 'transpose', 'squeeze', 'expand_dims')


def available_bytes():
  """Memory of an accelerator, on CPU what the system has free, None where neither is known."""
  stats = jax.local_devices()[0].memory_stats()
  return stats['bytes_limit'] if stats and 'bytes_limit' in stats else free_bytes()


def used_bytes():
  """Most memory in use so far: of the first accelerator, on CPU of this whole process."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and 'peak_bytes_in_use' in stats:
    return stats['peak_bytes_in_use']
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def program_bytes(program):
  """What a jax.stages.Compiled takes on one device by its own account: arguments, results that are
  not written over them, and all that lies between."""
  stats = program.memory_analysis()
  return (stats.argument_size_in_bytes + stats.output_size_in_bytes - stats.alias_size_in_bytes
          + stats.temp_size_in_bytes)


def free_bytes():
  """Memory that the system has free, None where that is not known; JAX is not started."""
  meminfo = pathlib.Path('/proc/meminfo')
  if not meminfo.is_file():
    return None
  fields = dict(line.split(':') for line in meminfo.read_text().splitlines())
  return int(fields['MemAvailable'].split()[0]) * 1024


def nbytes(aval):
  """Bytes of an array of a trace; random keys and the like count nothing."""
  plain = hasattr(aval, 'shape') and not jax.dtypes.issubdtype(aval.dtype, jax.dtypes.extended)
  return math.prod(aval.shape) * aval.dtype.itemsize if plain else 0


class Compiler(NamedTuple):
  """What XLA computes again rather than store.

  Attributes:
    costly: operations that it does not repeat for a second reader of what comes of them.
    fused: operations that compute what they read.
  """
  costly: tuple[str, ...] = COSTLY
  fused: tuple[str, ...] = ()


XLA = Compiler()  # for CPUs and GPUs
TPU = Compiler((), ('conv_general_dilated',))
FULL_TPU = Compiler((), ('conv_general_dilated', 'dot_general', 'reduce_sum', 'reduce_max'))


class _Value:
  """An array of the trace, the stored ones it is read from, whether something costly lies between
  them and it, and the last operation to read it."""

  def __init__(self, variable, size):
    self.bytes = size(variable.aval)
    self.stored, self.sources, self.costly, self.last = False, frozenset(), False, -1


def _total(values):
  return sum(value.bytes for value in values)


def _flatten(jaxpr, values, operations, size, compiler):
  """Lists (name, inputs, outputs, bytes inside), with those of called functions in their place."""
  find = lambda v: _Value(v, size) if isinstance(v, Literal) else values[v]
  values.update({v: _Value(v, size) for v in jaxpr.constvars})
  for equation in jaxpr.eqns:
    name, inputs = equation.primitive.name, [find(v) for v in equation.invars]
    inner = equation.params.get('jaxpr', equation.params.get('call_jaxpr'))
    if name in VIEWS:
      outputs = inputs[:1]
    elif inner is not None and name not in LOOPS:
      inner = getattr(inner, 'jaxpr', inner)
      outputs = _flatten(inner, dict(zip(inner.invars, inputs)), operations, size, compiler)
    else:
      outputs = [_Value(v, size) for v in equation.outvars]
      bodies = [inner, equation.params.get('body_jaxpr'), *equation.params.get('branches', ())]
      inside = [_peak(b.jaxpr, size, compiler) - sum(size(v.aval) for v in b.jaxpr.invars)
                for b in bodies if b]
      operations.append((name, inputs, outputs, max(inside, default=0)))
    values.update(zip(equation.outvars, outputs))
  return [find(v) for v in jaxpr.outvars]


def _store(operations, compiler):
  """Decides which values are stored, and which operation is the last to read each."""
  readers = collections.Counter()
  for name, inputs, outputs, _ in operations:
    readers.update(set(inputs))
    for value in (outputs if name in compiler.fused else inputs + outputs):
      value.stored |= name in STORED
  for i, (name, inputs, outputs, _) in enumerate(operations):
    sources = frozenset().union(*(v.sources for v in inputs))
    costly = name in compiler.costly or any(v.costly and not v.stored for v in inputs)
    for value in outputs:
      value.costly = costly
      large = sum(source.bytes >= value.bytes for source in sources)
      value.stored |= readers[value] > 1 and (large > 1 or costly)
      value.sources = frozenset([value]) if value.stored else sources
    if any(v.stored for v in outputs):
      for value in (*sources, *outputs):
        value.last = i


def _peak(jaxpr, size, compiler):
  """Largest sum of the arguments, which stay, and of the stored values that are still read."""
  arguments, operations = [_Value(v, size) for v in jaxpr.invars], []
  results = _flatten(jaxpr, dict(zip(jaxpr.invars, arguments)), operations, size, compiler)
  _store(operations, compiler)
  for value in (source for result in results for source in result.sources):
    value.last = len(operations)
  done = collections.Counter()
  for value in {v for _, _, outputs, _ in operations for v in outputs if v.stored}:
    done[value.last] += value.bytes
  peak = total = _total(arguments)
  for i, (name, _, outputs, inside) in enumerate(operations):
    made = _total(v for v in outputs if v.stored)
    in_place = 0 if name in STORED else done[i]
    peak = max(peak, total + made - in_place + inside)
    total += made - done[i]
  return peak


def peak_bytes(function, *args):
  """Predicted peak bytes of a call, arguments included, from its trace; nothing is compiled.

  Results that only update an argument are taken to replace it (a donated training state); what
  XLA for CPUs copies of one, `share.step_peak` adds. Small programs are predicted within 0.6 to
  1.15 of what XLA states (tests/core/test_memory.py), except on CPU with rematerialisation of
  whole blocks, which XLA undoes there. docs/plan.md has the figures of `tiny` and of a TPU.

  Args:
    function: anything jax can trace.
    *args: arrays or ShapeDtypeStructs.
  """
  return peak_of(jax.make_jaxpr(function)(*args).jaxpr)


def peak_of(jaxpr, size=nbytes, compiler=XLA):
  """As `peak_bytes`, of a trace.

  Args:
    jaxpr: of the function.
    size: aval -> what a value takes, e.g. of one chip of many.
    compiler: XLA, TPU, or FULL_TPU where memory is short.
  """
  return _peak(jaxpr, size, compiler)
