"""What one device of a mesh holds of the arrays of a trace."""

import math

import jax
from jax.sharding import AbstractMesh, AxisType
import numpy as np

from svdjax.core import mesh as mesh_lib
from svdjax.core.memory import FULL_TPU, TPU, XLA, nbytes, peak_of

TPU_LANES = 128  # of a row in memory
SHORT = 0.92  # of a TPU's memory, from where on XLA computes more again


def abstract(sizes):
  """A mesh of no devices, {axis: size}, for tracing."""
  return AbstractMesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def trace(function, sizes, *args):
  """The jaxpr of a function under a mesh of these sizes; `args` are anything with shapes."""
  bare = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), args)
  with jax.sharding.use_abstract_mesh(abstract(sizes)):
    return jax.make_jaxpr(function)(*bare).jaxpr


def splits(params, fsdp):
  """{shape: over how many devices} of parameters, and of those that layers see: one of a stack."""
  found = {}
  for x in jax.tree.leaves(params):
    for shape in (x.shape, x.shape[1:]):
      found[shape] = fsdp if mesh_lib.spec(shape, fsdp) else 1
  return {shape: n for shape, n in found.items() if len(shape) > 1}


def of_params(tree, fsdp):
  """Bytes that one device holds of a tree of parameters."""
  return sum(nbytes(x) / (fsdp if mesh_lib.spec(x.shape, fsdp) else 1)
             for x in jax.tree.leaves(tree))


def of_values(params, sizes, lanes=1):
  """aval -> bytes on one device: fp32 parameters and gradients as `fsdp` splits them, weights in
  the dtype of layers gathered, all else split over all devices.

  With `lanes`, an array is laid out along whichever of its axes leaves the fewest of them empty.
  """
  devices, split = math.prod(sizes.values()), splits(params, sizes['fsdp'])

  def size(aval):
    whole = nbytes(aval)
    if whole and aval.shape:
      whole *= min(-(-n // lanes) * lanes / n for n in aval.shape)
    if whole and aval.shape in split:
      return whole / split[aval.shape] if aval.dtype == np.float32 else whole
    return whole / devices
  return size


def step_peak(jaxpr, state, frozen, sizes, platform, memory=math.inf):
  """Predicted peak bytes of a training step on one device of a mesh.

  Args:
    jaxpr: of the step, as of `trace`.
    state, frozen: state.State and the parameters that are not trained, or their shapes.
    sizes: {axis: size}.
    platform: 'cpu', 'gpu' or 'tpu'. XLA for CPUs copies parameters and optimizer before the first
      read, since it overwrites them while other results still read them, and keeps the kernels of
      convolutions transposed for the gradients. On TPUs arrays are padded to the lanes.
    memory: bytes of a TPU; a step that would fill it is computed with less, if with less it can be.
  """
  params = state.params, frozen
  if platform == 'tpu':
    size = of_values(params, sizes, TPU_LANES)
    peak, filled = peak_of(jaxpr, size, TPU), SHORT * memory
    return peak if peak <= filled else min(peak, max(peak_of(jaxpr, size, FULL_TPU), filled))
  peak = peak_of(jaxpr, of_values(params, sizes), XLA)
  if platform == 'cpu':
    kernels = [x for x in jax.tree.leaves(state.params) if len(x.shape) > 3]
    peak += of_params((state.params, state.opt, kernels), sizes['fsdp'])
  return peak
