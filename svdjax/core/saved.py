"""Flat parameter dicts as orbax keeps them: written whole, read whole or a few at a time."""

import math
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp

from svdjax.core import manifest, weights

GROUP = 2 ** 26  # bytes that `Saved` reads at once: a call of orbax takes a tenth of a second


def save_params(directory, params):
  """Writes a flat {name: array} as one orbax checkpoint, replacing what is there."""
  directory = pathlib.Path(directory).absolute()
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(directory, params, force=True)
  if jax.process_index() == 0:
    manifest.write(directory)


def load_params(directory):
  """Reads what `save_params` (or one orbax item of a step) wrote, numpy arrays."""
  return _restore(directory, list(_specs(directory)))


def _specs(directory, prefix=''):
  """{name: Spec} of the arrays whose names start with `prefix`."""
  with ocp.PyTreeCheckpointer() as checkpointer:
    found = checkpointer.metadata(pathlib.Path(directory).absolute()).item_metadata
    return {n: weights.Spec(tuple(x.shape), np.dtype(x.dtype)) for n, x in found.items()
            if n.startswith(prefix)}


def _restore(directory, names):
  """{name: numpy array} of these names."""
  if not names:
    return {}
  args = ocp.args.PyTreeRestore(
      dict.fromkeys(names, 0), partial_restore=True,
      restore_args={n: ocp.RestoreArgs(restore_type=np.ndarray) for n in names})
  with ocp.PyTreeCheckpointer() as checkpointer:
    return checkpointer.restore(pathlib.Path(directory).absolute(), args=args)


class Saved:
  """Arrays on disk by name, read as `weights.Weights` are; memory holds one group of them.

  Args:
    directories: of `save_params`, or orbax items of a step; their names are joined.
    prefix: of the names that are wanted.

  Attributes:
    specs: {name: Spec}.
  """

  def __init__(self, directories, prefix=''):
    self.specs, self._groups, self._held = {}, {}, {}
    for directory in directories:
      specs = _specs(directory, prefix)
      self.specs |= specs
      self._groups |= {n: (directory, group) for group in _groups(specs) for n in group}

  def read(self, name):
    """One array, and with it those of its group, which are likely to be asked for next."""
    if name not in self._held:
      self._held = {}  # before the next ones come
      self._held = _restore(*self._groups[name])
    return self._held[name]

  def row(self, name, i):
    """One index of the first axis of an array."""
    return self.read(name)[i]


def _groups(specs):
  """Lists of names in their order, of at most GROUP bytes or of one array that is larger."""
  groups, size = [], math.inf
  for name, spec in specs.items():
    if size + spec.nbytes > GROUP:
      groups.append([])
      size = 0
    groups[-1].append(name)
    size += spec.nbytes
  return groups
