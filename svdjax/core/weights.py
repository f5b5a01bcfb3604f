"""Weights in safetensors files, read and written tensor by tensor: memory holds one at a time."""

import itertools
import json
import math
import os
import pathlib
import shutil
from typing import NamedTuple

import ml_dtypes
import numpy as np
import safetensors

from svdjax.core.errors import BadInput

# Names of the format and of numpy; what else a file holds (buffers of integers) is no weight.
DTYPES = {'F32': np.dtype(np.float32), 'F16': np.dtype(np.float16),
          'BF16': np.dtype(ml_dtypes.bfloat16), 'F64': np.dtype(np.float64)}
UNREAD = 'holds integers or 8-bit floats where floats of 16, 32 or 64 bits are needed'
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Spec(NamedTuple):
  """Shape and numpy dtype of a tensor in a file."""
  shape: tuple[int, ...]
  dtype: np.dtype

  @property
  def nbytes(self):
    return math.prod(self.shape) * self.dtype.itemsize


class Weights:
  """The tensors of some safetensors files by name, each read when it is asked for.

  Files are not memory-mapped: mapped pages would count as memory of this process.

  Args:
    paths: files; their names are joined.

  Attributes:
    specs: {name: Spec}; None for tensors of integers and 8-bit floats.
    metadata: {str: str} of all files.

  Raises:
    BadInput: no such file, a pickle, or a file that is damaged or truncated.
  """

  def __init__(self, paths):
    self.specs, self.metadata, self._places = {}, {}, {}
    for path in map(pathlib.Path, paths):
      header, start = _header(path)
      self.metadata |= header.pop('__metadata__', None) or {}
      for name, told in header.items():
        dtype = DTYPES.get(told['dtype'])
        self.specs[name] = dtype and Spec(tuple(told['shape']), dtype)
        self._places[name] = path, start + told['data_offsets'][0]

  def read(self, name):
    """One tensor as a numpy array."""
    return _read(*self._places[name], self.specs[name])

  def row(self, name, i):
    """One index of the first axis of a tensor, without reading the others."""
    path, offset = self._places[name]
    row = self.specs[name]._replace(shape=self.specs[name].shape[1:])
    return _read(path, offset + i * row.nbytes, row)

  def select(self, names):
    """The tensors of `names`, {new name: name here}, under their new names."""
    view = Weights([])
    view.metadata = self.metadata
    view.specs = {new: self.specs[name] for new, name in names.items()}
    view._places = {new: self._places[name] for new, name in names.items()}
    return view


class Loaded:
  """Tensors in memory, {name: array}, read as `Weights` are."""

  def __init__(self, arrays):
    self.specs = {name: Spec(tuple(x.shape), np.dtype(x.dtype)) for name, x in arrays.items()}
    self._arrays = arrays

  def read(self, name):
    """One tensor as a numpy array."""
    return np.asarray(self._arrays[name])

  def row(self, name, i):
    """One index of the first axis of a tensor."""
    return np.asarray(self._arrays[name][i])


def _read(path, offset, spec):
  return np.fromfile(path, spec.dtype, math.prod(spec.shape), offset=offset).reshape(spec.shape)


def _header(path):
  """(entries of a safetensors file's header, where its tensors begin); the library checks it."""
  if path.suffix in ('.ckpt', '.bin', '.pt', '.pth', '.pkl'):
    raise BadInput(f'{path} is a pickle, which can run code when it is loaded, and is never '
                   'opened: give the .safetensors file of the same weights')
  if not path.is_file():
    raise BadInput(f'{path} is not a file: check the path')
  try:
    with safetensors.safe_open(path, 'numpy'), open(path, 'rb') as file:
      size = int.from_bytes(file.read(8), 'little')
      return json.loads(file.read(size)), 8 + size
  except safetensors.SafetensorError as error:
    raise BadInput(f'{path} is truncated or no safetensors file ({error}): copy it again') from None


def find(folder, stem):
  """The safetensors files of one component: whole, in shards, or of a variant (`.fp16`).

  Args:
    folder: of the component.
    stem: of its file's name, e.g. 'diffusion_pytorch_model'.

  Raises:
    BadInput: there is none, or only a pickle.
  """
  folder = pathlib.Path(folder)
  indexed = f'{stem}.safetensors.index'
  for path in (folder / f'{stem}.safetensors', folder / f'{indexed}.json',
               *sorted(folder.glob(f'{indexed}.*.json')),
               *sorted(folder.glob(f'{stem}.*.safetensors'))):
    if path.is_file():
      return [path] if path.suffix == '.safetensors' else _shards(path)
  for path in sorted(folder.glob('*.bin')) + sorted(folder.glob('*.ckpt')):
    _header(path)
  raise BadInput(f'{folder} holds no {stem}.safetensors: download the folder again, with its '
                 'safetensors files')


def _shards(index):
  """The files that an index of shards names."""
  try:
    names = set(json.loads(index.read_text())['weight_map'].values())
  except (ValueError, KeyError):
    raise BadInput(f'{index} is no index of safetensors files: download it again') from None
  return [index.with_name(name) for name in sorted(names)]


def require_disk(folder, nbytes):
  """Raises BadInput if the disk of `folder`, which may not exist yet, has less than nbytes free."""
  folder = pathlib.Path(folder).absolute()
  while not folder.is_dir():
    folder = folder.parent
  free = shutil.disk_usage(folder).free
  if free < nbytes:
    raise BadInput(f'{folder} has {free / 2**30:.2f} GiB free and {nbytes / 2**30:.2f} GiB are to '
                   'be written: free some space or choose another disk')


def write(path, specs, tensors, metadata=None):
  """Writes a safetensors file as its tensors come; it appears under its name once it is whole.

  Args:
    path: the file.
    specs: {name: Spec}.
    tensors: yields (name, array) in the order of `specs`; a tensor may come in pieces of its first
      axis, one after the other.
    metadata: {str: str}.

  Raises:
    BadInput: the file cannot be written, or not to its end.
    ValueError: the tensors are not those of `specs`.
  """
  path, header, offset = pathlib.Path(path), {}, 0
  if metadata:
    header['__metadata__'] = metadata
  for name, spec in specs.items():
    header[name] = {'dtype': CODES[spec.dtype], 'shape': list(spec.shape),
                    'data_offsets': [offset, offset + spec.nbytes]}
    offset += spec.nbytes
  text = json.dumps(header).encode()
  text += b' ' * (-len(text) % 8)  # the format aligns tensors to 8 bytes
  temporary = path.with_name(path.name + '.partial')
  try:
    with open(temporary, 'wb') as file:
      file.write(len(text).to_bytes(8, 'little') + text)
      _fill(file, specs, tensors)
    os.replace(temporary, path)
  except OSError as error:
    raise BadInput(f'{path} cannot be written ({error.strerror or error}): free some space or '
                   'choose another place') from None
  finally:
    temporary.unlink(missing_ok=True)


def _fill(file, specs, tensors):
  """Writes the contents of all tensors, checking that each comes whole and in its turn."""
  grouped = itertools.groupby(tensors, lambda pair: pair[0])
  for name, spec in specs.items():
    given, pieces = next(grouped, (None, ()))
    size = 0
    for _, array in pieces:
      if given == name and array.dtype == spec.dtype:
        size += array.nbytes
        np.ascontiguousarray(array).tofile(file)
    if size != spec.nbytes:
      raise ValueError(f'{file.name}: {given} came for {name}, or not all of it')
  if next(grouped, None):
    raise ValueError(f'{file.name}: more tensors came than were announced')


def cast(array, dtype, name):
  """A tensor in another dtype.

  Raises:
    BadInput: a finite value is beyond the range of float16.
  """
  if array.dtype == dtype:
    return array
  with np.errstate(over='ignore'):
    result = array.astype(dtype)
  if dtype == np.float16 and np.isinf(result).any() and np.isfinite(array).all():
    raise BadInput(f'{name} has values beyond the range of float16: use --dtype bfloat16')
  return result
