"""Weights of feature networks, from a file that the user names."""

import hashlib
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from svdjax.core import weights
from svdjax.core.errors import BadInput


class Tensors(NamedTuple):
  """A feature network's {PyTorch name: array}, and the file they came from with its sha256."""
  params: dict
  path: str
  sha256: str


def read(path):
  """All floating point tensors of a .safetensors or .npz file: (specs, function of a name).

  Raises:
    BadInput: a pickle, no such file, or a damaged one.
  """
  path = pathlib.Path(path)
  if path.suffix != '.npz':
    file = weights.Weights([path])
    return {n: s.shape for n, s in file.specs.items() if s}, file.read
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {n: file[n] for n in file.files}
  except (OSError, ValueError) as error:
    raise BadInput(f'{path} is no readable .npz file of plain arrays ({error}): write it again '
                   'with numpy.savez') from error
  arrays = {n: x for n, x in arrays.items() if np.issubdtype(x.dtype, np.floating)}
  return {n: x.shape for n, x in arrays.items()}, arrays.__getitem__


def load(path, shapes, what):
  """Reads the tensors of a network, and no others, as float32.

  Args:
    path: .safetensors or .npz; a prefix `module.` of all names is dropped.
    shapes: {PyTorch name: shape}.
    what: the network and the layout of its names, for messages.

  Returns:
    Tensors.

  Raises:
    BadInput: the file cannot be read, or a tensor is missing or of another shape.
  """
  have, get = read(path)
  prefix = 'module.' if have and all(n.startswith('module.') for n in have) else ''
  wrong = [f'{n} is missing' if prefix + n not in have else
           f'{n} has shape {tuple(have[prefix + n])}, not {tuple(shape)}'
           for n, shape in shapes.items() if tuple(have.get(prefix + n, ())) != tuple(shape)]
  if wrong:
    raise BadInput(f'{path} is not {what}: {"; ".join(wrong[:2])}'
                   f'{f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""}; save the state_dict '
                   'of that network with safetensors.torch.save_file')
  params = {n: jnp.asarray(get(prefix + n), jnp.float32) for n in shapes}
  with open(path, 'rb') as file:
    return Tensors(params, str(path), hashlib.file_digest(file, 'sha256').hexdigest())
