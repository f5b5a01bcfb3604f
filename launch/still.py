"""Writes the first frame of a held-out clip with a pointing object as a PNG: DATA OUT."""

import json
import sys

import grain

from svdjax.inputs import export, record, video


def main(data, out):
  """Finds the first such clip and writes its first frame."""
  source = grain.sources.ArrayRecordDataSource(record.shard_paths(data, 'test'))
  for i in range(len(source)):
    entry = record.decode(source[i])
    if json.loads(entry['truth'])['kind'] == 'pointer':
      export.write_png(out, video.decode(entry['video'], [0])[0])
      return
  sys.exit(f'{data} has no clip of a pointing object')


if __name__ == '__main__':
  main(*sys.argv[1:])
