"""What is on disk: one record per clip, in ArrayRecord shards that TFDS can open.

A data folder holds `svd_clips-SPLIT.array_record-00000-of-00004` files beside TFDS's
`features.json` and `dataset_info.json`. Writing and reading never import TensorFlow. Beside each
shard lie the sizes of its clips, `sizes-SPLIT-00000-of-00004.npy`.
"""

import functools
import json
import pathlib

import numpy as np
from array_record.python import array_record_module
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from svdjax.core.errors import BadInput

NAME = 'svd_clips'
VERSION = '1.0.0'


@functools.cache
def features():
  """The record's fields as a TFDS FeaturesDict.

  `video` is an mp4 file (one video stream). `pts` [n] are presentation times in ticks of
  timebase_num/timebase_den seconds, the first 0. `captions` are the image, video and merged
  caption ("" where absent). `motion` is mean optical flow as a share of the frame diagonal per
  second. `truth` is JSON for generated clips and "" for real footage.
  """
  f = tfds.features
  return f.FeaturesDict({
      'clip_id': f.Text(),
      'source_uri': f.Text(),
      'video': f.Tensor(shape=(), dtype=np.object_),
      'width': np.int32,
      'height': np.int32,
      'num_frames': np.int32,
      'pts': f.Tensor(shape=(None,), dtype=np.int64, encoding=f.Encoding.BYTES),
      'timebase_num': np.int32,
      'timebase_den': np.int32,
      'fps': np.float32,
      't_start': np.float64,
      't_end': np.float64,
      'captions': f.Sequence(f.Text()),
      'motion': np.float32,
      'truth': f.Text(),
  })


def encode(record, schema=None):
  """{field: value} -> bytes, the same in every process; TFDS's own order of fields is random.

  Args:
    record: as `schema` describes it.
    schema: a FeaturesDict, by default `features`.
  """
  schema = schema or features()
  serializer = example_serializer.ExampleSerializer(schema.get_serialized_info())
  example = serializer.get_tf_example(schema.encode_example(record))
  return example.SerializeToString(deterministic=True)


def decode(serialized, schema=None):
  """bytes -> {field: value}; text fields come back as str, `video` as bytes."""
  record = (schema or features()).deserialize_example_np(serialized)
  text = lambda x: x.decode() if isinstance(x, bytes) else str(x)
  for name in ('clip_id', 'source_uri', 'truth'):
    record[name] = text(record[name])
  record['captions'] = [text(x) for x in record['captions']]
  record['video'] = bytes(record['video'])
  return record


def shard_paths(directory, split):
  """The sorted shard files of one split.

  Raises:
    BadInput: the folder does not exist or holds no shard of that split.
  """
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    what = 'is not a folder' if directory.exists() else 'does not exist'
    raise BadInput(f'data folder {directory} {what}: make one with `python -m data.toyworld'
                   f' --output {directory}` or `python -m data.shard --input VIDEOS --output '
                   f'{directory}`')
  paths = sorted(directory.glob(f'{NAME}-{split}.array_record-*-of-?????'))
  if not paths:
    raise BadInput(f'data folder {directory} holds no shards of split "{split}": expected files '
                   f'named {NAME}-{split}.array_record-00000-of-0000N; make them with '
                   '`python -m data.shard`')
  return [str(p) for p in paths]


def shard_name(split, index, num_shards):
  """The file name of one shard of a split."""
  return f'{NAME}-{split}.array_record-{index:05d}-of-{num_shards:05d}'


def extent(record):
  """(seconds, height, width) of a record."""
  seconds = float(record['pts'][-1]) * record['timebase_num'] / record['timebase_den']
  return seconds, record['height'], record['width']


def _extents_path(shard):
  shard = pathlib.Path(shard)
  return shard.with_name(shard.name.replace(NAME, 'sizes').replace('.array_record', '') + '.npy')


def extents(directory, split):
  """The `extent` of every record of a split, float64 [n 3]; None if a shard has no file of them."""
  try:
    return np.concatenate([np.load(_extents_path(path), allow_pickle=False)
                           for path in shard_paths(directory, split)])
  except (OSError, ValueError, EOFError):  # not there, or torn
    return None


def _finish(path, rows):
  """Gives a written shard its name, and what lies beside it; never an old file beside a new one."""
  beside = _extents_path(path)
  beside.unlink(missing_ok=True)
  pathlib.Path(f'{path}.tmp').rename(path)
  with open(f'{beside}.tmp', 'wb') as file:
    np.save(file, np.array(rows, np.float64).reshape(-1, 3))
  pathlib.Path(f'{beside}.tmp').rename(beside)


def write_shard(path, records, schema=None):
  """Writes records (an iterable of field dicts) to one shard, there only once it is complete.

  Args:
    path: of the file, see `shard_name`.
    records: as `schema` describes them.
    schema: a FeaturesDict with all fields of `features`, its default.

  Returns:
    The number of records.
  """
  rows = []
  writer = array_record_module.ArrayRecordWriter(f'{path}.tmp', 'group_size:1,uncompressed')
  for record in records:
    writer.write(encode(record, schema))
    rows.append(extent(record))
  writer.close()
  _finish(path, rows)
  return len(rows)


def write_split(directory, split, records, num_shards=1):
  """Writes records (an iterable of field dicts) round-robin into shards of one split.

  Shards appear under their final name only once complete. Call `write_metadata` afterwards.

  Returns:
    The number of records in each shard.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  names = [shard_name(split, i, num_shards) for i in range(num_shards)]
  writers = [array_record_module.ArrayRecordWriter(
      str(directory / (name + '.tmp')), 'group_size:1,uncompressed') for name in names]
  rows = [[] for _ in range(num_shards)]
  for i, record in enumerate(records):
    writers[i % num_shards].write(encode(record))
    rows[i % num_shards].append(extent(record))
  for writer, name, own in zip(writers, names, rows):
    writer.close()
    _finish(directory / name, own)
  return [len(own) for own in rows]


def write_metadata(directory, splits, world=None, schema=None):
  """Writes TFDS's metadata (and, for generated data, `world.json`).

  Args:
    directory: the data folder.
    splits: {split name: records in each shard}.
    world: what is true of all generated clips (palette, outlines), or None.
    schema: the FeaturesDict of the records, by default `features`.
  """
  directory = pathlib.Path(directory)
  (schema or features()).save_config(str(directory))
  filepath = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
  info = {
      'name': NAME, 'version': VERSION, 'fileFormat': 'array_record', 'moduleName': __name__,
      'splits': [{'name': name, 'filepathTemplate': filepath,
                  'shardLengths': [str(n) for n in lengths]}
                 for name, lengths in splits.items()],
  }
  (directory / 'dataset_info.json').write_text(json.dumps(info, indent=2))
  if world is not None:
    (directory / 'world.json').write_text(json.dumps(world, indent=1))
