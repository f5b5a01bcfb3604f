"""Files of one JSON value a line, appended to by runs that may be killed or find the disk full."""

import json
import pathlib


def append_bytes(path, data):
  """Appends all of `data` or, if the disk refuses a part of it, nothing."""
  with open(path, 'ab', buffering=0) as file:
    size = file.tell()
    try:
      written = 0
      while written < len(data):
        written += file.write(data[written:])
    except OSError:
      file.truncate(size)
      raise


def append(path, row):
  """Appends one value as a line."""
  append_bytes(path, (json.dumps(row) + '\n').encode())


def read(path):
  """The values of a file, none if there is no file; a line that a kill has torn is left out."""
  path, rows = pathlib.Path(path), []
  for line in path.read_text(encoding='utf-8').splitlines() if path.is_file() else ():
    try:
      rows.append(json.loads(line))
    except ValueError:
      continue
  return rows
