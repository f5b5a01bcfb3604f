"""Checksums of a folder, so that what is read back is what was written."""

from concurrent import futures
import hashlib
import json
import pathlib

NAME = 'manifest.json'
THREADS = 16  # that read and hash files of a folder side by side


def _digest(path):
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _files(folder):
  return sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file())


def write(folder):
  """Writes `folder`/manifest.json: size and sha256 of every file below."""
  folder = pathlib.Path(folder)
  names = [name for name in _files(folder) if name != NAME]
  entry = lambda name: [(folder / name).stat().st_size, _digest(folder / name)]
  with futures.ThreadPoolExecutor(THREADS) as pool:
    files = dict(zip(names, pool.map(entry, names)))
  (folder / NAME).write_text(json.dumps({'sha256': files}, indent=1))


def exists(folder):
  """Whether a folder has a manifest."""
  return (pathlib.Path(folder) / NAME).is_file()


def fault(folder, part=''):
  """What of a folder is not as it was written, in words; None if all is.

  Args:
    folder: that `write` was called with.
    part: only files whose path begins with this are read.
  """
  folder = pathlib.Path(folder)
  try:
    files = json.loads((folder / NAME).read_text())['sha256']
    wanted = {name: tuple(entry) for name, entry in files.items() if name.startswith(part)}
  except FileNotFoundError:
    return f'{NAME} is missing'
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return f'{NAME} cannot be read'
  if not wanted:
    return f'{NAME} names no file of {part or folder.name}'
  for name in _files(folder):
    if name != NAME and name.startswith(part) and name not in wanted:
      return f'file {name} does not belong there'
  with futures.ThreadPoolExecutor(THREADS) as pool:
    found = pool.map(lambda item: _file_fault(folder / item[0], item[0], *item[1]), wanted.items())
    return next(filter(None, found), None)


def _file_fault(path, name, size, digest):
  try:
    if path.stat().st_size != size:
      return f'file {name} has {path.stat().st_size} bytes in place of {size}'
    return None if _digest(path) == digest else f'file {name} is not what was written'
  except FileNotFoundError:
    return f'file {name} is missing'
  except OSError as error:
    return f'file {name} cannot be read ({error.strerror})'


def latest_good(folders, part=''):
  """The highest key whose folder is as it was written.

  Args:
    folders: {step: folder}.
    part: as in `fault`.

  Returns:
    (step or None, {later step: its fault}).
  """
  damaged = {}
  for step in sorted(folders, reverse=True):
    found = fault(folders[step], part)
    if found is None:
      return step, damaged
    damaged[step] = found
  return None, damaged
