"""Which files are the sources: a folder, a pattern, or a table."""

import csv
import dataclasses
import glob
import hashlib
import json
import os
import pathlib

from data import footage
from svdjax.core.errors import BadInput

SUFFIXES = footage.SUFFIXES + (
    '.ts', '.mts', '.m2ts', '.mpg', '.mpeg', '.flv', '.wmv', '.ogv', '.gif', '.3gp', '.m4a',
    '.h264', '.264', '.265', '.hevc')
_TABLES = ('.csv', '.jsonl', '.parquet')


@dataclasses.dataclass(frozen=True)
class Source:
  """A file that may become clips.

  Attributes:
    uri: how tables and records call it: its path relative to the input where it lies below it.
    path: of the file.
    caption: what the user says it shows, or "".
    license: what the user says of it, or "".
  """
  uri: str
  path: str
  caption: str = ''
  license: str = ''

  def key(self):
    """Hex digest that changes with the file's path, size or time of change; None without file."""
    try:
      stat = os.stat(self.path)
    except OSError:
      return None
    text = f'{os.path.abspath(self.path)}|{stat.st_size}|{stat.st_mtime_ns}'
    return hashlib.blake2b(text.encode(errors='surrogateescape'), digest_size=16).hexdigest()


def find(given, output):
  """The sources that `--input` names, sorted by uri, each uri once.

  Args:
    given: folder, glob pattern, or table (.csv, .jsonl, .parquet) with a column `file` and
      optional columns `caption` and `license`; paths in it are relative to the table.
    output: folder whose files are no sources.

  Raises:
    BadInput: it names nothing that exists, or is a table that cannot be read.
  """
  path = pathlib.Path(given)
  if path.suffix.lower() in _TABLES and path.is_file():
    sources = _from_table(path)
  elif path.is_dir():
    sources = _from_paths(path, _walk(path, pathlib.Path(output).resolve()))
  elif path.is_file():
    sources = _from_paths(path.parent, [path])
  elif glob.has_magic(given):
    paths = [p for p in map(pathlib.Path, glob.glob(given, recursive=True)) if p.is_file()]
    sources = _from_paths(_root(given), paths)
  else:
    raise BadInput(f'input {given} does not exist: give a folder of videos, a quoted pattern or a '
                   'table')
  if not sources:
    raise BadInput(f'input {given} names no videos: give a folder of files ending in '
                   f'{", ".join(SUFFIXES[:6])} …, a quoted pattern, or a .csv, .jsonl or .parquet '
                   'with a column "file"')
  return sorted({s.uri: s for s in sources}.values(), key=lambda s: s.uri)


def _root(pattern):
  """The folder that a pattern's first wildcard lies in."""
  parts = pathlib.Path(pattern).parts
  fixed = [p for p in parts[:-1]]
  for i, part in enumerate(parts[:-1]):
    if glob.has_magic(part):
      fixed = parts[:i]
      break
  return pathlib.Path(*fixed)


def _walk(root, output):
  found = []
  for folder, folders, names in os.walk(root):
    here = pathlib.Path(folder)
    folders[:] = [f for f in folders if not f.startswith('.') and (here / f).resolve() != output]
    found += [here / name for name in names
              if name.lower().endswith(SUFFIXES) and not name.startswith('.')]
  return found


def _uri(root, path):
  path = pathlib.Path(path)
  return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _from_paths(root, paths):
  captions, _ = footage.read_captions(root, [_uri(root, p) for p in paths])
  return [Source(_uri(root, p), str(p), captions[_uri(root, p)]) for p in paths]


def _from_table(path):
  rows = _read_table(path)
  if not all(isinstance(row, dict) and isinstance(row.get('file'), str) and row['file']
             for row in rows):
    raise BadInput(f'input {path} has rows without a "file": name the column that holds the paths '
                   '"file"')
  return [Source(_uri(path.parent, path.parent / row['file']), str(path.parent / row['file']),
                 str(row.get('caption') or ''), str(row.get('license') or '')) for row in rows]


def _read_table(path):
  try:
    if path.suffix.lower() == '.parquet':
      import pyarrow.parquet  # slow to import, and rarely wanted
      return pyarrow.parquet.read_table(path).to_pylist()
    text = path.read_text(encoding='utf-8-sig')
    if path.suffix.lower() == '.csv':
      return list(csv.DictReader(text.splitlines()))
    return [json.loads(line) for line in text.splitlines() if line.strip()]
  except (OSError, ValueError, csv.Error) as error:
    raise BadInput(f'input {path} cannot be read as a table ({error}): check the file') from error
