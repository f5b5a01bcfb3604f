"""Predicted memory of a function before it is compiled."""

import pathlib

import jax
import numpy as np

# XLA fuses elementwise chains, so most intermediate values never reach memory. Only the results
# of these are counted as stored.
STORED = ('conv_general_dilated', 'dot_general', 'concatenate', 'reduce_sum', 'gather', 'pad',
          'exp', 'sort', 'scan', 'while', 'cumsum', 'broadcast_in_dim_large')


def available_bytes():
  """Memory of the first device: of an accelerator its limit, on CPU what the system has free.

  None where neither is known.
  """
  stats = jax.devices()[0].memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit']
  meminfo = pathlib.Path('/proc/meminfo')
  if not meminfo.is_file():
    return None
  fields = dict(line.split(':') for line in meminfo.read_text().splitlines())
  return int(fields['MemAvailable'].split()[0]) * 1024


def _bytes(variable):
  aval = variable.aval
  if not hasattr(aval, 'shape') or jax.dtypes.issubdtype(aval.dtype, jax.dtypes.extended):
    return 0
  return int(np.prod(aval.shape, dtype=np.int64)) * aval.dtype.itemsize


def _peak(jaxpr):
  """Largest sum of live stored values of a jaxpr, inner jaxprs run at their equation."""
  last = {}
  for i, equation in enumerate(jaxpr.eqns):
    for variable in equation.invars:
      if not isinstance(variable, jax.extend.core.Literal):
        last[variable] = i
  for variable in jaxpr.outvars:
    if not isinstance(variable, jax.extend.core.Literal):
      last[variable] = len(jaxpr.eqns)
  live = {v: _bytes(v) for v in (*jaxpr.invars, *jaxpr.constvars)}
  total = peak = sum(live.values())
  for i, equation in enumerate(jaxpr.eqns):
    inner = 0
    for value in equation.params.values():
      closed = getattr(value, 'jaxpr', value)
      if hasattr(closed, 'eqns'):
        own = sum(_bytes(v) for v in closed.invars)
        inner = max(inner, _peak(closed) - own)
    stored = inner or equation.primitive.name in STORED
    if stored:
      for variable in equation.outvars:
        live[variable] = _bytes(variable)
        total += live[variable]
    peak = max(peak, total + max(inner - sum(_bytes(v) for v in equation.outvars), 0))
    for variable in {v for v in (*equation.invars, *equation.outvars)
                     if not isinstance(v, jax.extend.core.Literal)}:
      if last.get(variable, -1) <= i and variable in live:
        total -= live.pop(variable)
  return peak


def peak_bytes(function, *args):
  """Predicted peak bytes of a call, arguments included, from its trace; nothing is compiled.

  Args:
    function: anything jax can trace.
    *args: arrays or ShapeDtypeStructs.

  Returns:
    Bytes. The order and the lifetime of values are those of the trace; the compiler's differ, so
    this is an estimate (tests/core/test_memory.py states how good).
  """
  return _peak(jax.make_jaxpr(function)(*args).jaxpr)
