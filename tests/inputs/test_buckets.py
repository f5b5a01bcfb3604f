"""Several sizes of clip in one run: each record has its bucket, each batch one size."""

import itertools
import json
import shutil

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from data.toyworld import clip as toy_clip
from svdjax import state as state_lib, train, validate
from svdjax.core.errors import BadInput
from svdjax.inputs import buckets, pipeline, record
from svdjax.inputs.buckets import Size

WIDE, TALL, LONG = Size(6, 32, 48), Size(6, 48, 32), Size(10, 32, 48)


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
  """A folder of landscape clips of 8 and 16 frames and portrait ones of 8, at 8 frames a second."""
  folder = tmp_path_factory.mktemp('mixed')
  kinds = [(32, 48, 8)] * 3 + [(48, 32, 8)] * 4 + [(32, 48, 16)] * 5
  record.write_split(folder, 'train', [toy_clip.make(
      {'seed': 0, 'fps': 8, 'kinds': {'pointer': 1.}, 'height': h, 'width': w, 'frames': n},
      'train', i) for i, (h, w, n) in enumerate(kinds)])
  return str(folder)


@pytest.fixture
def config(nano, mixed):
  return nano('video_pretrain', {'data.source': mixed, 'data.fps': (8.,),
                                 'data.buckets': (WIDE, TALL, LONG)})


def test_a_record_goes_to_the_longest_bucket_of_its_shape(config):
  clips = pipeline.Clips(config.data, 'train', 0)
  assert clips.buckets.bucket.tolist() == [0] * 3 + [1] * 4 + [2] * 5
  for index, size in ((0, WIDE), (3, TALL), (7, LONG)):
    assert clips.clip(index, 0)['video'].shape == (*size, 3)


def test_sizes_stored_beside_shards_save_reading_all_records(config, mixed, tmp_path, monkeypatch):
  buckets_of = lambda: pipeline.Clips(config.data, 'train', 0).buckets.bucket.tolist()
  found, folder = buckets_of(), tmp_path / 'copy'
  with monkeypatch.context() as patch:
    patch.setattr(record, 'decode', None)  # nothing is read
    assert buckets_of() == found
  shutil.copytree(mixed, folder)
  beside, = folder.glob('sizes-train*.npy')
  config.data.source = str(folder)
  for spoil in (lambda: np.save(beside, np.ones((2, 3))), lambda: beside.write_bytes(b'torn'),
                lambda: beside.write_bytes(b''), beside.unlink):
    spoil()
    assert buckets_of() == found


def test_a_batch_has_one_size_and_an_epoch_every_bucket(config):
  clips = pipeline.Clips(config.data, 'train', 0)
  batches = list(itertools.islice(pipeline.batches(clips, 2), 5))  # 1 + 2 + 2 whole batches
  assert sorted(b['video'].shape[1:4] for b in batches) == [WIDE, TALL, TALL, LONG, LONG]
  seen = [i for b in batches for i in b['index']]
  assert len(set(seen)) == len(seen) == 10


@pytest.mark.parametrize('rows', [[0], [1]])
def test_processes_share_batches_of_one_size(config, rows):
  clips = pipeline.Clips(config.data, 'train', 0)
  whole, own = (list(itertools.islice(pipeline.batches(clips, 2, rows=r), 5)) for r in (None, rows))
  for batch, part in zip(whole, own):
    np.testing.assert_array_equal(part['video'], batch['video'][rows])


def test_batches_from_a_step_on_are_the_later_ones(config):
  clips = pipeline.Clips(config.data, 'train', 0)
  whole, later = (list(itertools.islice(pipeline.batches(clips, 2, step=s), 8 - s)) for s in (0, 3))
  for a, b in zip(whole[3:], later, strict=True):
    np.testing.assert_array_equal(a['index'], b['index'])
    np.testing.assert_array_equal(a['video'], b['video'])


@hypothesis.given(st.lists(st.integers(-1, 3), min_size=1, max_size=40).filter(
    lambda b: max(b) >= 0), st.integers(1, 5), st.integers(0, 9))
def test_every_epoch_is_another_shuffle_of_batches_of_one_bucket(bucket, batch_size, seed):
  bucket = np.array(bucket)
  order = buckets.Order(bucket, batch_size, seed)
  for epoch in range(3):
    at = (epoch * order.batches + np.arange(order.batches))[:, None] * batch_size
    rows = np.vectorize(order.__getitem__)(at + np.arange(batch_size))
    assert (bucket[rows] == bucket[rows[:, :1]]).all() and (bucket[rows] >= 0).all()
    for members in order.members:
      drawn = rows[np.isin(rows, members).all(axis=1)].ravel()
      assert len(drawn) == max(batch_size, len(members) // batch_size * batch_size)
      assert len(set(drawn)) == min(len(drawn), len(members))


def test_records_left_out_of_one_epoch_come_in_another():
  order = buckets.Order(np.zeros(5, int), 4, 0)
  assert {order[i] for i in range(40)} == set(range(5))


def test_too_short_records_are_told_and_never_visited(config, mixed):
  config.data.buckets = (TALL, Size(14, 32, 48))
  clips = pipeline.Clips(config.data, 'train', 0)
  assert clips.buckets.describe() == 'clips by bucket: 6x48x32: 4, 14x32x48: 5; 3 too short'
  assert {int(i) for b in itertools.islice(pipeline.batches(clips, 2), 24) for i in b['index']
          } == set(range(3, 12))
  assert clips.clip(0, 0)['index'] == 3
  config.data.buckets = (Size(30, 32, 48),)
  with pytest.raises(BadInput, match=f'{mixed} holds no clip as long as a bucket'):
    pipeline.Clips(config.data, 'train', 0)


@pytest.mark.parametrize('wrong, said', [
    (((6, 32),), r'holds \(6, 32\): write \(frames, height, width\)'),
    (((6, 32, 0),), r'holds \(6, 32, 0\)'),
    (((6, 32, 49),), 'width 49 is not a positive multiple'),
])
def test_buckets_that_cannot_work_are_refused(config, wrong, said):
  with config.unlocked():
    config.data.buckets = wrong
  with pytest.raises(BadInput, match=said):
    validate.check_config(config)


def test_the_largest_bucket_decides_what_fits_in_memory(config):
  assert validate.abstract_batch(config)['video'].shape[1:] == (*LONG, 3)


def test_a_run_of_two_sizes_is_compiled_twice_and_resumes_exactly(
    nano, mixed, tmp_path, compiled, monkeypatch):
  steps = []
  real = state_lib.compiled
  monkeypatch.setattr(state_lib, 'compiled',
                      lambda *args: steps.append(real(*args)) or steps[-1])

  def losses(workdir, *steps):
    for last in steps:
      config = nano('autoencoder', {'data.source': mixed, 'train.steps': last,
                                    'train.log_every': 1, 'data.fps': (8.,), 'sample.clips': 0, 'optim.decay': False,
                                    'data.buckets': ((1, 32, 48), (1, 48, 32))})
      train.train(config, workdir)
    rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return {row['step']: row['loss'] for row in rows if 'loss' in row}

  whole, pieces = losses(tmp_path / 'whole', 6), losses(tmp_path / 'pieces', 3, 6)
  assert len(whole) == 6 and whole == pieces
  assert steps[0]._cache_size() == 2  # pylint: disable=protected-access
