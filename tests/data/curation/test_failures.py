"""Whatever lies in a folder, the run ends well and says why each thing is left out."""

import collections
import datetime
import errno
import importlib.util
import pathlib
import socket

from array_record.python import array_record_module
import numpy as np
import pyarrow.parquet
import pytest

from data import curate
from data.curation import failures, schema
from svdjax.core.errors import BadInput, Stopped
from svdjax.inputs import container, record, video

_spec = importlib.util.spec_from_file_location(
    'damage', pathlib.Path(__file__).with_name('damage.py'))
damage = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(damage)


@pytest.fixture(scope='module')
def server():
  """A port of this machine that nobody should ask anything of."""
  with socket.create_server(('127.0.0.1', 0)) as listening:
    listening.setblocking(False)
    yield listening


@pytest.fixture(scope='module')
def output(tmp_path_factory, server):
  """The output folder of one run over every file of `damage.WRITERS`."""
  root, output = tmp_path_factory.mktemp('in'), tmp_path_factory.mktemp('out')
  for name, (write, _, _) in damage.WRITERS.items():
    write(root / name)
  damage.playlist(root / 'playlist.mp4', server.getsockname()[1])
  (root / 'gone.csv').write_text('file\n' + ''.join(f'{n}\n' for n in damage.WRITERS)
                                 + 'missing.mp4\n')
  curate.main(['--input', str(root / 'gone.csv'), '--output', str(output), '--workers', '0',
               '--preset', 'none'])
  return output


@pytest.fixture(scope='module')
def clips(output):
  return pyarrow.parquet.read_table(output / 'tables' / 'clips.parquet').to_pylist()


@pytest.fixture(scope='module')
def failed(output):
  return pyarrow.parquet.read_table(output / 'tables' / 'failures.parquet').to_pylist()


def one(rows, uri):
  [row] = [r for r in rows if r['source_uri'] == uri]
  return row


@pytest.mark.parametrize('name', sorted(damage.WRITERS))
def test_each_file_has_its_code_and_its_clips(name, clips, failed):
  _, code, count = damage.WRITERS[name]
  assert {f['code'] for f in failed if f['uri'] == name} == ({code} if code else set())
  assert collections.Counter(c['source_uri'] for c in clips)[name] == count


def test_nobody_on_the_network_is_asked(output, server):
  with pytest.raises(BlockingIOError):
    server.accept()


def test_a_file_that_is_gone_is_tried_again_next_time(failed):
  [row] = [f for f in failed if f['uri'] == 'missing.mp4']
  assert row['code'] == 'IO' and row['retryable']
  assert all(f['retryable'] == failures.CODES[f['code']][0] for f in failed)


def test_every_reason_of_the_reader_has_a_code():
  reasons = {'missing', 'empty', 'not_a_video', 'truncated', 'no_video_stream', 'codec',
             'too_large', 'damaged', 'bad_index'}
  assert {failures.code_of(container.VideoError(r, 'x')) for r in reasons} <= set(failures.CODES)


def test_a_row_tells_what_a_person_needs_to_look_further(failed, clips):
  known = {c['source_uri']: c['source_id'] for c in clips}
  for row in failed:
    assert bool(row['source_id']) == (row['code'] not in ('EMPTY_FILE', 'IO'))
    assert row['source_id'] == known.get(row['uri'], row['source_id'])
    assert row['attempt'] == 1 and 'av ' in row['versions'] and len(row['message']) <= 500
    then = datetime.datetime.fromisoformat(row['ts'])
    assert abs(datetime.datetime.now(datetime.timezone.utc) - then).total_seconds() < 3600
  numbers = {f['uri']: f['errno'] for f in failed}
  assert numbers['missing.mp4'] == errno.ENOENT and numbers['huge.mp4'] is None


def test_flags_tell_what_a_clip_is(clips):
  assert one(clips, 'hdr.mp4')['is_hdr'] and one(clips, 'hdr.mp4')['color_primaries'] == 9
  assert one(clips, 'interlaced.ts')['is_interlaced']
  assert one(clips, 'short.mp4')['is_partial_source']
  assert one(clips, 'moving.gif')['is_reencoded']
  assert not any(one(clips, 'a_good.mp4')[n] for n in (
      'is_hdr', 'is_interlaced', 'is_partial_source', 'is_reencoded'))


def test_shape_and_time_are_those_shown(clips):
  size = lambda uri: (one(clips, uri)['width'], one(clips, uri)['height'])
  assert size('turned.mp4') == (72, 96) and one(clips, 'turned.mp4')['rotation_deg'] == 270
  assert size('interlaced.ts') == (128, 72) and one(clips, 'interlaced.ts')['sar_num'] == 4
  assert size('odd.mp4') == (97, 73)
  assert sorted(c['width'] for c in clips if c['source_uri'] == 'resized.ts') == [96, 128]
  varied = one(clips, 'variable.mp4')
  assert varied['fps_min'] < 8 and varied['fps_max'] == pytest.approx(20)


def test_an_edit_list_is_obeyed(clips):
  """The first shown frame is number 12; the first keyframe after it, number 16, starts the clip."""
  clip = one(clips, 'edited.mp4')
  assert clip['num_frames'] == 60 - 16 and clip['t_start'] == pytest.approx(4 / 12, abs=0.01)


def test_what_is_cut_short_ends_before_the_damage(output, clips):
  shown = None
  for path in record.shard_paths(output, 'train') + record.shard_paths(output, 'test'):
    for data in array_record_module.ArrayRecordReader(path).read_all():
      entry = record.decode(data)
      if entry['source_uri'] == 'short.mp4':
        shown = video.decode(entry['video'])
  truth = damage._frames(count=8 * damage.FPS)[:len(shown)]  # pylint: disable=protected-access
  assert len(shown) == one(clips, 'short.mp4')['num_frames'] > 30
  assert np.abs(shown.astype(int) - truth).mean() < 8


def test_the_paper_drops_hdr_and_interlaced(output):
  curate.main(['--output', str(output), '--workers', '0'])
  kept = [schema.features().deserialize_example_np(data)
          for split in ('train', 'test') for path in record.shard_paths(output, split)
          for data in array_record_module.ArrayRecordReader(path).read_all()]
  uris = {r['source_uri'].decode() for r in kept}
  assert len(uris) >= 5 and not {'hdr.mp4', 'interlaced.ts'} & uris


def test_what_packets_cannot_give_is_taken_when_encoded_anew(tmp_path):
  root = tmp_path / 'in'
  root.mkdir()
  for name in ('windows.wmv', 'resized.webm', 'one_key.mp4'):
    damage.WRITERS[name][0](root / name)
  curate.main(['--input', str(root), '--output', str(tmp_path / 'out'), '--workers', '0',
               '--preset', 'none', '--reencode'])
  rows = pyarrow.parquet.read_table(tmp_path / 'out' / 'tables' / 'clips.parquet').to_pylist()
  assert collections.Counter(r['source_uri'] for r in rows) == {
      'windows.wmv': 1, 'resized.webm': 2, 'one_key.mp4': 1}


def test_too_many_failures_end_with_1_after_the_work(tmp_path):
  for name in ('a_good.mp4', 'words.mp4', 'copy.mp4'):
    damage.WRITERS[name][0](tmp_path / name)
  run = lambda share: curate.main(['--input', str(tmp_path), '--output', str(tmp_path / 'out'),
                                   '--workers', '0', '--preset', 'none', '--max-failed', share])
  run('0.34')  # one of three; the copy is none
  for path in (tmp_path / 'out').glob('svd_clips-*'):
    path.unlink()
  with pytest.raises(Stopped, match='1 of 3 sources .*--max-failed 0.3'):
    run('0.3')
  assert record.shard_paths(tmp_path / 'out', 'train')


def test_large_frames_are_taken_when_asked_for(tmp_path):
  damage.huge(tmp_path / 'huge.mp4')
  with pytest.raises(BadInput, match='TOO_SHORT'):
    curate.main(['--input', str(tmp_path / 'huge.mp4'), '--output', str(tmp_path / 'out'),
                 '--workers', '0', '--large'])
