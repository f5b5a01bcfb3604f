"""What lies in a folder of videos: the files and their captions."""

import csv
import os
import pathlib

from svdjax.core.errors import BadInput

SUFFIXES = ('.mp4', '.webm', '.mov', '.mkv', '.avi', '.m4v')


def find_videos(root, output):
  """Sorted paths, relative to `root`, of the videos under it (hidden and output ones left out).

  Raises:
    BadInput: `root` is not a folder, holds no video, or some of it may not be read.
  """
  root, output = pathlib.Path(root), pathlib.Path(output).resolve()
  if not root.is_dir():
    raise BadInput(f'input {root} is not a folder: name the folder that holds the videos')

  def refuse(error):
    raise BadInput(f'input folder {error.filename} cannot be read ({error.strerror}): change its '
                   'permissions or leave it out')

  uris = []
  for folder, folders, names in os.walk(root, onerror=refuse):
    here = pathlib.Path(folder)
    folders[:] = [f for f in folders if not f.startswith('.') and (here / f).resolve() != output]
    uris += [(here / name).relative_to(root).as_posix() for name in names
             if name.lower().endswith(SUFFIXES) and not name.startswith('.')]
  if not uris:
    raise BadInput(f'input {root} holds no videos: expected files ending in {", ".join(SUFFIXES)}')
  return sorted(uris)


def read_captions(root, uris, table=None):
  """Captions from a CSV `table`, for videos not in it from sidecar .txt files, else "".

  Returns:
    ({uri: caption}, [files that the table names but are not in uris]).

  Raises:
    BadInput: the table cannot be read or lacks the columns `file` and `caption`.
  """
  listed = {} if table is None else _read_table(table)
  captions = {uri: listed[uri] if uri in listed else _sidecar(root, uri) for uri in uris}
  return captions, sorted(listed.keys() - captions.keys())


def _read_table(path):
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      rows = csv.DictReader(file)
      if not {'file', 'caption'} <= set(rows.fieldnames or ()):
        raise BadInput(f'captions {path} lack the columns "file,caption": name them in line 1')
      return {pathlib.PurePosixPath(row['file']).as_posix(): row['caption'] or '' for row in rows}
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise BadInput(f'captions {path} cannot be read as UTF-8 CSV ({error}): check the '
                   'file') from error


def sidecar_path(root, uri):
  """Where the caption of a video lies if it has a text file of its own."""
  return pathlib.Path(root, uri).with_suffix('.txt')


def _sidecar(root, uri):
  path = sidecar_path(root, uri)
  text = path.read_text(encoding='utf-8', errors='replace') if path.is_file() else ''
  return ' '.join(text.split())
