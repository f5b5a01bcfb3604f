"""Writing converted weights: one svdjax checkpoint from networks in another layout."""

import contextlib
import json
import os
import pathlib
import shutil
from typing import NamedTuple

import numpy as np

from svdjax import checkpoint
from svdjax.convert.mapping import Mapping, depth
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.core.progress import Progress
from svdjax.tasks import parts as parts_lib


class Network(NamedTuple):
  """A network in another layout: its sizes as in config.model, its tensors, and their mapping."""
  sizes: dict
  source: weights.Weights
  mapping: Mapping


def shapes_of(network, sizes):
  """{name: shape} of a network of ours with these sizes; BadInput where they cannot be built."""
  built = parts_lib.build({network: sizes})
  return {name: s.shape for name, s in built.shapes.items()}


def network(name, sizes, source, dialect, where, vae=3):
  """Checks the tensors of a file against a network with these sizes.

  Args:
    name: of the network.
    sizes: as in config.model.
    source: weights.Weights with the tensors of this network alone, in the table's spelling.
    dialect: 'diffusers' or 'sgm'.
    where: the file, for messages.
    vae: index of the autoencoder among sgm's conditioners.

  Returns:
    A Network.

  Raises:
    BadInput: a tensor is missing, extra or misshapen.
  """
  mapping = Mapping(name, shapes_of(name, sizes), dialect, depth(name, sizes, vae))
  mapping.check(source.specs, where)
  return Network(sizes, source, mapping)


@contextlib.contextmanager
def new_folder(path):
  """A folder to fill, which appears under its name when all is done and vanishes on failure.

  Raises:
    BadInput: something is there already, or it cannot be written.
  """
  path = pathlib.Path(path)
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise BadInput(f'{path} exists already: name a new folder')
  temporary = path.with_name(path.name + '.partial')
  try:
    temporary.mkdir(parents=True, exist_ok=False)
  except FileExistsError:
    raise BadInput(f'{temporary} is left over from a conversion that was stopped or is running: '
                   'remove it') from None
  except OSError as error:
    raise BadInput(f'{path} cannot be written ({error.strerror}): choose another place') from None
  try:
    yield temporary
  except BaseException:
    shutil.rmtree(temporary)
    raise
  if path.exists():
    path.rmdir()
  os.replace(temporary, path)


class Meter:
  """Passes tensors on and shows how many bytes of `total` have gone through."""

  def __init__(self, total):
    self.total, self.done, self.bar = total, 0, Progress(total >> 20, 0, 'converting', 'MiB')

  def __call__(self, tensors):
    for name, array in tensors:
      yield name, array
      self.done += array.nbytes
      self.bar.update(self.done >> 20)
    if self.done >= self.total:
      self.bar.close()


def write_checkpoint(path, config, networks, dtype, assets=None):
  """Writes a converted checkpoint.

  Args:
    path: a folder that does not exist yet.
    config: of `recipe.config`.
    networks: {name: Network}.
    dtype: numpy dtype of all weights.
    assets: function that writes the tokenizer into a folder, or None.

  Raises:
    BadInput: not enough disk, or the folder exists.
  """
  specs = {name: found.mapping.ours_specs(dtype) for name, found in networks.items()}
  total = sum(s.nbytes for each in specs.values() for s in each.values())
  weights.require_disk(path, total)
  meter = Meter(total)
  with new_folder(path) as folder:
    (folder / 'params').mkdir()
    for name, found in networks.items():
      weights.write(checkpoint.converted_file(folder, name), specs[name],
                    meter(found.mapping.to_ours(found.source, dtype)))
    if assets:
      assets(folder / 'assets')
    (folder / 'config.json').write_text(json.dumps(config.to_dict(), indent=2))


def dtype_of(name, source):
  """The numpy dtype to write: the one named, or the widest among the tensors of `source`.

  Args:
    name: 'float32', 'bfloat16', 'float16' or None. JAX computes with none wider than float32.
    source: weights.Weights or Loaded, or several.
  """
  if name:
    return weights.DTYPES[{'float32': 'F32', 'bfloat16': 'BF16', 'float16': 'F16'}[name]]
  found = {spec.dtype for each in source for spec in each.specs.values() if spec}
  return found.pop() if len(found) == 1 and np.dtype(np.float64) not in found else np.dtype(
      np.float32)
