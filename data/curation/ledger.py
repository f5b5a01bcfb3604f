"""What is done, on disk: one JSON file for each piece of work, there only once it is complete."""

import json
import os
import pathlib


def write_bytes(path, data):
  """Writes a file that is never seen half written."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  temporary.write_bytes(data)
  os.replace(temporary, path)


def write(path, row):
  """Writes a row of JSON values; NaN is refused."""
  text = json.dumps(row, ensure_ascii=False, sort_keys=True, allow_nan=False)
  write_bytes(path, text.encode())


def read(path):
  """The row at `path`, or None if it is not there or not whole."""
  try:
    return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except (FileNotFoundError, ValueError):
    return None


class Places:
  """Where everything lies in an output folder.

  Args:
    output: the folder; the shards lie in itself.
    digest: of the settings; other settings leave this work alone.
  """

  def __init__(self, output, digest):
    self.output, self.digest = pathlib.Path(output), digest

  def identity(self, key):
    """The content hash of a file of a certain path, size and time."""
    return self.output / 'ledger' / 'files' / f'{key}.json'

  def source(self, source_id):
    """What became of a source."""
    return self.output / 'ledger' / 'sources' / self.digest / f'{source_id}.json'

  def clips(self, source_id):
    """The folder of a source's clips."""
    return self.output / 'clips' / self.digest / source_id

  def annotation(self, annotator, source_id):
    """What an annotator said of a source's clips; `annotator` is its name and version."""
    return self.output / 'ledger' / 'annotations' / annotator / self.digest / f'{source_id}.json'

  @property
  def manifest(self):
    """The sources of the latest run."""
    return self.output / 'ledger' / 'manifest.json'

  @property
  def finished(self):
    """What the shards were made of, there only while they are whole."""
    return self.output / 'ledger' / 'shards.json'
