"""Batches are a pure function of (seed, step), whatever the records, threads and caches are."""

import itertools

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from data.toyworld import clip as toy_clip
from svdjax.core.errors import BadInput
from svdjax.inputs import motion, pipeline, record

ARGS = {'seed': 0, 'height': 32, 'width': 48, 'fps': 8, 'kinds': {'pointer': 1.}}


@pytest.fixture
def data(nano):
  return nano('video_pretrain', {'data.cache': False, 'data.drop_text': 0.}).data


def first(iterator, count):
  return list(itertools.islice(iterator, count))


def assert_same(a, b):
  assert len(a) == len(b)
  for x, y in zip(a, b):
    assert x.keys() == y.keys()
    for name in x:
      np.testing.assert_array_equal(x[name], y[name])


def folder(path, *records):
  """A data folder whose training split holds toy clips with some fields replaced."""
  entries = [toy_clip.make(ARGS | {'frames': r.pop('frames', 12)}, 'train', i) | r
             for i, r in enumerate(records)]
  record.write_split(path, 'train', entries)
  return str(path)


@pytest.mark.parametrize('cache', [False, True])
@pytest.mark.parametrize('threads', [1, 4])
def test_neither_threads_nor_cache_change_a_batch(data, cache, threads):
  plain = first(pipeline.batches(pipeline.Clips(data, 'train', 3), 3, threads=1), 5)
  data.cache = cache
  assert_same(first(pipeline.batches(pipeline.Clips(data, 'train', 3), 3, threads=threads), 5),
              plain)


@pytest.mark.parametrize('step', [1, 4])
def test_batches_from_a_step_on_are_the_later_ones(data, step):
  clips = pipeline.Clips(data, 'train', 0)
  whole = first(pipeline.batches(clips, 3), 6)
  assert_same(first(pipeline.batches(clips, 3, step=step), 6 - step), whole[step:])


@pytest.mark.parametrize('rows', [[0], [1, 3], [2, 3]])
def test_a_process_reads_its_own_rows_of_the_same_batches(data, rows):
  clips = pipeline.Clips(data, 'train', 0)
  whole = first(pipeline.batches(clips, 4, step=1), 3)
  own = first(pipeline.batches(clips, 4, step=1, rows=rows), 3)
  assert_same([{name: x[rows] for name, x in batch.items()} for batch in whole], own)


WORKERS_AND_PROCESSES = list(itertools.product((0, 1, 2, 8), (1, 2, 4)))


def ids(data, workers, processes, start, stop):
  """Clip ids [stop - start, 4] of the batches of 4 that so many processes make together."""
  parts, share = [], 4 // processes
  for process in range(processes):
    clips = pipeline.Clips(data, 'train', 0)
    own = range(process * share, (process + 1) * share)
    read = first(pipeline.batches(clips, 4, start, workers, own), stop - start)
    names = {i: record.decode(clips.source[i])['clip_id'] for i in range(len(clips))}
    parts.append([[names[int(i)] for i in batch['index']] for batch in read])
  return np.concatenate(parts, axis=1)


@pytest.fixture(scope='module')
def seven(tmp_path_factory):
  """A data folder of 7 clips: epochs end within batches of 4."""
  return folder(tmp_path_factory.mktemp('seven'), *[{} for _ in range(7)])


@pytest.mark.parametrize('workers, processes', WORKERS_AND_PROCESSES)
def test_a_run_stopped_anywhere_goes_on_with_the_same_clips(data, seven, workers, processes):
  """T8: 4 epochs, begun by other workers and processes, go on amid an epoch and a batch of it."""
  data.source, data.cache = seven, True
  whole = ids(data, 1, 1, 0, 7)
  begun = WORKERS_AND_PROCESSES[::-1][WORKERS_AND_PROCESSES.index((workers, processes))]
  for stop in (1, 4):
    found = [*ids(data, *begun, 0, stop), *ids(data, workers, processes, stop, 7)]
    np.testing.assert_array_equal(found, whole)
  epochs = np.reshape(found, (4, 7))
  assert [len(set(epoch)) for epoch in epochs] == [7] * 4  # none is missed, so none comes twice
  assert len({tuple(epoch) for epoch in epochs}) == 4  # each in an order of its own


@pytest.mark.parametrize('any_motion', [False, True])
def test_clips_are_told_their_own_motion_or_that_of_any_record(data, tmp_path, any_motion):
  data.source = folder(tmp_path, *[
      {'motion': score, 'truth': f'{{"camera": {{"move": "{move}"}}}}'}
      for score, move in ((0.01, 'none'), (0.2, 'left'))])
  data.camera, data.any_motion = ('none',), any_motion
  clips = pipeline.Clips(data, 'train', 0)
  told = {float(clips.clip(0, draw)['motion']) for draw in range(20)}
  buckets = [float(np.float32(motion.motion_bucket(score))) for score in (0.01, 0.2)]
  assert told == set(buckets if any_motion else buckets[:1])


def test_another_seed_gives_another_order_and_other_windows(data):
  one, other = (first(pipeline.batches(pipeline.Clips(data, 'train', seed), 4), 2)
                for seed in (0, 1))
  assert any((a['index'] != b['index']).any() for a, b in zip(one, other))
  here, there = (pipeline.Clips(data, 'train', seed).clip(0, 0)['video'] for seed in (0, 1))
  assert (here != there).any()


@pytest.mark.parametrize('size', [2, 3])
def test_an_epoch_visits_each_clip_once(data, size):
  batches = first(pipeline.batches(pipeline.Clips(data, 'train', 0), size), 8)
  visited = np.concatenate([b['index'] for b in batches]).reshape(-1, 8)
  np.testing.assert_array_equal(np.sort(visited), np.broadcast_to(np.arange(8), visited.shape))
  assert (visited[0] != visited[1]).any()  # and the next one in another order


def test_repeated_visits_draw_other_windows(data):
  data.fps = (8.,)
  clips = pipeline.Clips(data, 'train', 0)
  assert len({clips.clip(0, draw)['video'].tobytes() for draw in range(8)}) > 1


@pytest.mark.parametrize('rate', [4., 8.])
def test_fps_is_the_frame_rate_minus_one(data, rate):
  data.fps = (rate,)
  assert pipeline.Clips(data, 'train', 0).clip(0, 0)['fps'] == rate - 1


def test_rates_that_do_not_fit_a_clip_are_not_drawn(data):
  data.fps, data.frames = (8., 4.), 8  # at 4 a second they take longer than the 12 at 8 there are
  clips = pipeline.Clips(data, 'train', 0)
  assert {float(clips.clip(0, draw)['fps']) for draw in range(8)} == {7.}


def test_dropped_text_is_the_empty_caption(data):
  data.drop_text = 1.
  clips = pipeline.Clips(data, 'train', 0, lambda texts: texts)
  assert [clips.clip(0, draw)['tokens'] for draw in range(4)] == [''] * 4


@pytest.mark.parametrize('kind', [0, 1, 2])
def test_captions_are_drawn_by_their_shares(data, kind):
  data.captions = tuple(float(i == kind) for i in range(3))
  clips = pipeline.Clips(data, 'train', 0, lambda texts: texts)
  expected = record.decode(clips.source[2])['captions'][kind]
  assert [clips.clip(2, draw)['tokens'] for draw in range(3)] == [expected] * 3


def test_footage_with_one_caption_shows_it_to_image_stages_too(data, tmp_path):
  """data.shard knows no caption of a still; a stage of stills asks for no other."""
  data.source = folder(tmp_path, {'captions': ['', 'a dog runs', 'a dog runs']},
                       {'captions': ['', '', '']})
  data.captions = (1., 0., 0.)
  clips = pipeline.Clips(data, 'train', 0, lambda texts: texts)
  assert [clips.clip(0, draw)['tokens'] for draw in range(3)] == ['a dog runs'] * 3
  assert clips.clip(1, 0)['tokens'] == ''


def test_damaged_and_short_records_are_passed_over_and_named(data, tmp_path):
  data.source = folder(tmp_path, {}, {'video': b'no video'}, {'frames': 2}, {})
  data.fps = (8.,)
  clips = pipeline.Clips(data, 'train', 0)
  assert [int(clips.clip(i, 0)['index']) for i in range(4)] == [0, 3, 3, 3]
  assert clips.skipped.keys() == {1, 2}
  assert clips.skipped[1].startswith('record 1: ')
  assert 'lower config.data.frames' in clips.skipped[2]
  np.testing.assert_array_equal(clips.clip(1, 5)['video'], clips.clip(3, 5)['video'])


def test_bytes_flipped_on_disk_lose_that_record_alone(data, tmp_path):
  data.source = folder(tmp_path, {}, {}, {})
  shard, = tmp_path.glob('*.array_record*')
  content = bytearray(shard.read_bytes())
  at = content.find(toy_clip.make(ARGS | {'frames': 12}, 'train', 1)['video'])
  assert at > 0
  content[at + 200:at + 264] = bytes(64)
  shard.write_bytes(content)
  clips = pipeline.Clips(data, 'train', 0)
  assert [int(clips.clip(i, 0)['index']) for i in range(3)] == [0, 2, 2]
  assert list(clips.skipped) == [1]
  assert len(pipeline.captions(data)) == 6  # those of the two others: a tokenizer can be made


def test_one_damaged_record_of_a_thousand_is_skipped_the_same_way_again(data, tmp_path):
  """And a second one is too many."""
  entry, broken = toy_clip.make(ARGS | {'frames': 8}, 'train', 0), {417}
  of = lambda i: entry | ({'video': b'no video'} if i in broken else {})
  read = lambda path: (record.write_split(path, 'train', map(of, range(1000)), 20),
                       data.update(source=str(path)), pipeline.Clips(data, 'train', 0))[-1]
  data.frames, data.fps, at = 2, (8.,), 17 * 50 + 20  # record i is in shard i % 20
  clips = read(tmp_path / 'one')
  assert [int(clips.clip(i, i)['index']) for i in range(1000) if i != at] == [
      i for i in range(1000) if i != at]
  again = pipeline.Clips(data, 'train', 0)
  for each in (clips, again):
    assert int(each.clip(at, 7)['index']) == at + 1 and list(each.skipped) == [at]
  broken.add(3)
  clips = read(tmp_path / 'two')
  assert int(clips.clip(at, 0)['index']) == at + 1
  with pytest.raises(BadInput, match='2 of 1000 records of .* are damaged, more than 0.10%'):
    clips.clip(3 * 50, 0)


@pytest.mark.parametrize('size', [0, 5, 70_000])
def test_a_truncated_shard_is_refused_at_once(data, tmp_path, size):
  data.source = folder(tmp_path, {}, {})
  shard, = tmp_path.glob('*.array_record*')
  shard.write_bytes(shard.read_bytes()[:size])
  with pytest.raises(BadInput, match='shard that cannot be opened'):
    pipeline.Clips(data, 'train', 0)
  with pytest.raises(BadInput, match='shard that cannot be opened'):
    pipeline.captions(data)


def test_data_without_a_usable_clip_is_refused_with_a_reason(data, tmp_path):
  data.source = folder(tmp_path, {'video': b'no video'}, {'video': b''})
  with pytest.raises(BadInput, match='2 of 2 records of .* are damaged.* record 0: video is not'):
    pipeline.Clips(data, 'train', 0).clip(1, 0)
  data.max_damaged = 1.
  with pytest.raises(BadInput, match='2 records in a row .* give no clip; record 1'):
    pipeline.Clips(data, 'train', 0).clip(1, 0)


def test_missing_and_empty_folders_are_refused(data, tmp_path):
  for source, fault in ((tmp_path / 'none', 'does not exist'), (tmp_path, 'holds no shards')):
    data.source = str(source)
    with pytest.raises(BadInput, match=fault):
      pipeline.Clips(data, 'train', 0)


@hypothesis.settings(max_examples=40, deadline=None,
                     suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(st.integers(16, 70), st.integers(16, 70), st.integers(0, 9))
def test_a_random_crop_stays_inside(data, height, width, seed):
  data.crop = 'random'
  clips = pipeline.Clips(data, 'train', 0)
  y, x = np.meshgrid(np.arange(height), np.arange(width), indexing='ij')
  frames = np.stack([y, x, 100 + 0 * x], axis=-1).astype(np.uint8)[None]
  crop = clips._crop(  # pylint: disable=protected-access
      frames, np.random.default_rng(seed), clips.size_of(0))
  assert crop.shape == (1, 16, 24, 3)
  assert (np.abs(crop[..., 2].astype(int) - 100) <= 1).all()  # nothing was padded
  if height == 16 and width >= 24 or width == 24 and height >= 16:  # nothing was scaled
    top, left = crop[0, 0, 0, :2]
    np.testing.assert_array_equal(crop, frames[:, top:top + 16, left:left + 24])


def test_random_crops_differ_and_a_centre_crop_does_not(data):
  data.frames, data.fps = 12, (8.,)  # one window
  for crop, count in (('center', 1), ('random', 4)):
    data.crop = crop
    clips = pipeline.Clips(data, 'train', 0)
    assert len({clips.clip(0, draw)['video'].tobytes() for draw in range(4)}) == count


def test_the_evaluation_batch_is_always_the_first_clips(data):
  clips = pipeline.Clips(data, 'test', 0)
  batch = pipeline.eval_batch(clips, 3)
  np.testing.assert_array_equal(batch['index'], [0, 1, 2])
  assert batch['video'].shape == (3, 3, 16, 24, 3)
  assert_same([pipeline.eval_batch(clips, 3)], [batch])
  assert len(pipeline.eval_batch(clips, 100)['index']) == 4


@pytest.mark.parametrize('buckets', [(), ((4, 32, 48),)])
def test_which_records_may_stand_in_for_one_is_no_work_in_large_data(tmp_path, data, buckets):
  data.source, data.frames, data.buckets = folder(tmp_path, {}, {}), 4, buckets
  clips = pipeline.Clips(data, 'train', 0)
  assert list(clips.alike(1, 100)) == [1, 0] and list(clips.alike(1, 1)) == [1]
  if not buckets:
    clips.source = range(10 ** 12)
    assert clips.alike(10 ** 12 - 1, 3) == [10 ** 12 - 1, 0, 1]
