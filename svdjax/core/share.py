"""What one device of a mesh holds of the arrays of a trace."""

import math

import jax
from jax.sharding import AbstractMesh, AxisType
import numpy as np

from svdjax.core import mesh as mesh_lib
from svdjax.core.memory import nbytes, peak_of


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


def of_values(params, sizes):
  """aval -> bytes on one device: fp32 parameters and gradients as `fsdp` splits them, weights in
  the dtype of layers gathered, all else split over all devices."""
  devices, split = math.prod(sizes.values()), splits(params, sizes['fsdp'])

  def size(aval):
    whole = nbytes(aval)
    if whole and aval.shape in split:
      return whole / split[aval.shape] if aval.dtype == np.float32 else whole
    return whole / devices
  return size


def step_peak(jaxpr, state, frozen, sizes, platform):
  """Predicted peak bytes of a training step on one device of a mesh.

  Args:
    jaxpr: of the step, as of `trace`.
    state, frozen: state.State and the parameters that are not trained, or their shapes.
    sizes: {axis: size}.
    platform: 'cpu', 'gpu' or 'tpu'. XLA for CPUs copies parameters and optimizer before the first
      read, since it overwrites them while other results still read them, and keeps the kernels of
      convolutions transposed for the gradients.
  """
  peak = peak_of(jaxpr, of_values((state.params, frozen), sizes), platform)
  if platform == 'cpu':
    kernels = [x for x in jax.tree.leaves(state.params) if len(x.shape) > 3]
    peak += of_params((state.params, state.opt, kernels), sizes['fsdp'])
  return peak
