"""Records round trip through shards, and other TFDS users can open them."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from array_record.python import array_record_module
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tensorflow_datasets as tfds

from svdjax.core.errors import BadInput
from svdjax.inputs import record

ROOT = pathlib.Path(__file__).parents[2]

text = st.text(st.characters(exclude_categories=('Cs',)), max_size=20)
records = st.fixed_dictionaries({
    'clip_id': text, 'source_uri': text, 'video': st.binary(min_size=1, max_size=200),
    'width': st.integers(1, 2 ** 31 - 1), 'height': st.integers(1, 4096),
    'num_frames': st.integers(1, 1000),
    'pts': st.lists(st.integers(0, 2 ** 62), min_size=1, max_size=9).map(np.int64),
    'timebase_num': st.integers(1, 1001), 'timebase_den': st.integers(1, 90000),
    'fps': st.floats(0.125, 240, width=32),
    't_start': st.floats(0, 1e6), 't_end': st.floats(0, 1e6),
    'captions': st.lists(text, min_size=3, max_size=3), 'motion': st.floats(0, 10, width=32),
    'truth': text})


def example(i):
  return {'clip_id': f'{i:032x}', 'source_uri': f'{i}.mp4', 'video': bytes([i] * 10), 'width': 64,
          'height': 48, 'num_frames': 2, 'pts': np.array([0, 1]), 'timebase_num': 1,
          'timebase_den': 8, 'fps': 8.0, 't_start': 0.0, 't_end': 0.25,
          'captions': ['', 'a red disc', 'a red disc'], 'motion': 0.02, 'truth': ''}


def read(directory, split):
  """All records of a split, shard after shard."""
  found = []
  for path in record.shard_paths(directory, split):
    reader = array_record_module.ArrayRecordReader(path)
    found += [record.decode(x) for x in reader.read_all()]
  return found


@settings(max_examples=20, deadline=None)
@given(records)
def test_every_field_round_trips(fields):
  fields = dict(fields)
  decoded = record.decode(record.encode(fields))
  assert decoded.keys() == fields.keys()
  for name in ('t_start', 't_end'):  # tf.Example keeps floats in 32 bits
    assert decoded.pop(name) == pytest.approx(fields.pop(name), rel=1e-7, abs=1e-37)
  for name, value in fields.items():
    np.testing.assert_array_equal(decoded[name], value, err_msg=name)


@settings(max_examples=5, deadline=None)
@given(count=st.integers(3, 9), num_shards=st.integers(1, 3))
def test_shards_hold_each_record_once(count, num_shards):
  with tempfile.TemporaryDirectory() as directory:
    lengths = record.write_split(directory, 'train', map(example, range(count)), num_shards)
    assert sum(lengths) == count and len(record.shard_paths(directory, 'train')) == num_shards
    ids = sorted(r['clip_id'] for r in read(directory, 'train'))
    assert ids == [example(i)['clip_id'] for i in range(count)]


def test_tfds_opens_the_folder(tmp_path):
  lengths = {'train': record.write_split(tmp_path, 'train', map(example, range(5)), 2),
             'test': record.write_split(tmp_path, 'test', [example(7)])}
  record.write_metadata(tmp_path, lengths)
  builder = tfds.builder_from_directory(str(tmp_path))
  assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
      'train': 5, 'test': 1}
  source = builder.as_data_source('train')
  assert {x['clip_id'].decode() for x in source} == {example(i)['clip_id'] for i in range(5)}


def test_the_world_is_stored_beside(tmp_path):
  record.write_metadata(tmp_path, {'train': [1]}, world={'colours': ['red']})
  assert json.loads((tmp_path / 'world.json').read_text()) == {'colours': ['red']}


def test_a_missing_folder_is_refused(tmp_path):
  with pytest.raises(BadInput, match='does not exist'):
    record.shard_paths(tmp_path / 'absent', 'train')


def test_a_missing_split_is_refused(tmp_path):
  record.write_split(tmp_path, 'train', [example(0)])
  with pytest.raises(BadInput, match='split "test"'):
    record.shard_paths(tmp_path, 'test')


def test_unfinished_shards_do_not_count(tmp_path):
  def interrupted():
    yield example(0)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    record.write_split(tmp_path, 'train', interrupted())
  with pytest.raises(BadInput):
    record.shard_paths(tmp_path, 'train')


def test_bytes_are_the_same_in_every_process(toy):
  """Protobuf orders the fields of a map at random, a process at a time, unless told not to."""
  script = ('import hashlib, sys; from array_record.python import array_record_module as a; '
            'from svdjax.inputs import record as r; '
            'read = a.ArrayRecordReader(sys.argv[1]).read_all(); '
            'again = [r.encode(r.decode(x)) for x in read]; '
            'print(hashlib.sha256(b"".join(again)).hexdigest())')
  path = record.shard_paths(toy, 'train')[0]
  found = {subprocess.run([sys.executable, '-c', script, path], capture_output=True, text=True,
                          check=True, env=os.environ | {'PYTHONPATH': str(ROOT)}).stdout
           for _ in range(3)}
  assert len(found) == 1
