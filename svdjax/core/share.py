"""What one device of a mesh holds of the arrays of a trace."""

import math

import jax
from jax.sharding import AbstractMesh, AxisType
import numpy as np

from svdjax.core import mesh as mesh_lib
from svdjax.core.memory import nbytes


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
