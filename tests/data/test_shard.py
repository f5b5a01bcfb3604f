"""A folder of videos becomes shards; what cannot be used is named and left out."""

import json
import os

from array_record.python import array_record_module
from hypothesis import given, strategies as st
import numpy as np
import pytest
import tqdm

from data import footage, ingest, shard
from svdjax.core.errors import BadInput
from svdjax.inputs import export, record, video


def moving(seed=0, count=12):
  """Frames of a texture that shifts by 2 px a frame."""
  picture = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0)
  picture = picture.repeat(8, 1)
  return np.stack([np.roll(picture, 2 * t, axis=1) for t in range(count)])


@pytest.fixture
def videos(tmp_path):
  """Three good videos, one in a subfolder."""
  root = tmp_path / 'in'
  for i, name in enumerate(['a.mp4', 'b.mp4', 'deep/c.mp4']):
    export.write_mp4(root / name, moving(i), 8)
  return root


def run(root, output, *options):
  shard.main(['--input', str(root), '--output', str(output), '--workers', '0', *options])


def read(output, split):
  found = []
  for path in record.shard_paths(output, split):
    found += map(record.decode, array_record_module.ArrayRecordReader(path).read_all())
  return {r['source_uri']: r for r in found}


def skipped(output):
  lines = (output / 'skipped.jsonl').read_text(encoding='utf-8').splitlines()
  return {line['file']: line['reason'] for line in map(json.loads, lines)}


def test_records_tell_the_truth_about_their_video(videos, tmp_path):
  run(videos, tmp_path / 'out')
  records = read(tmp_path / 'out', 'train')
  assert sorted(records) == ['a.mp4', 'b.mp4', 'deep/c.mp4']
  found = records['deep/c.mp4']
  np.testing.assert_array_equal(video.decode(found['video']), video.decode(videos / 'deep/c.mp4'))
  assert (found['width'], found['height'], found['num_frames']) == (64, 48, 12)
  assert (found['fps'], found['t_start'], found['t_end']) == (8, 0, 1.5)
  np.testing.assert_allclose(found['pts'] * found['timebase_num'] / found['timebase_den'],
                             np.arange(12) / 8)
  assert found['motion'] == pytest.approx(2 * 8 / 80, rel=0.25)


def test_captions_come_from_the_table_then_from_text_files(videos, tmp_path, capsys):
  (videos / 'a.txt').write_text('from the text file\n')
  (videos / 'deep/c.txt').write_text('a  disc\nturns')
  (tmp_path / 'captions.csv').write_text('\ufefffile,caption\na.mp4,"red, moving"\nno.mp4,x\n')
  run(videos, tmp_path / 'out', '--captions', str(tmp_path / 'captions.csv'))
  captions = {uri: r['captions'] for uri, r in read(tmp_path / 'out', 'train').items()}
  assert captions == {'a.mp4': ['', 'red, moving', 'red, moving'], 'b.mp4': ['', '', ''],
                      'deep/c.mp4': ['', 'a disc turns', 'a disc turns']}
  assert 'no.mp4' in capsys.readouterr().out


@pytest.mark.parametrize('text', ['name,text\na.mp4,x\n', '', '\udcff'])
def test_a_bad_table_is_refused(videos, tmp_path, text):
  (tmp_path / 'captions.csv').write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(BadInput, match='captions.csv'):
    run(videos, tmp_path / 'out', '--captions', str(tmp_path / 'captions.csv'))


def test_what_cannot_be_used_is_named_and_the_rest_goes_on(videos, tmp_path, capsys):
  whole = (videos / 'a.mp4').read_bytes()
  (videos / 'text.mp4').write_text('hello')
  (videos / 'half.mov').write_bytes(whole[:len(whole) // 2])
  (videos / 'zero.webm').touch()
  (videos / 'copy.m4v').write_bytes(whole)
  export.write_mp4(videos / 'still.mp4', moving(7, 1), 8)
  run(videos, tmp_path / 'out')
  assert skipped(tmp_path / 'out') == {
      'text.mp4': 'not_a_video', 'half.mov': 'truncated', 'zero.webm': 'empty',
      'copy.m4v': 'duplicate', 'still.mp4': 'too_short'}
  assert sorted(read(tmp_path / 'out', 'train')) == ['a.mp4', 'b.mp4', 'deep/c.mp4']
  printed = capsys.readouterr().out
  assert 'skipped half.mov: truncated' in printed and '3 clips, 4.5 s, from 3 of 8' in printed


def test_nothing_usable_is_refused(tmp_path):
  root = tmp_path / 'in'
  root.mkdir()
  with pytest.raises(BadInput, match='holds no videos'):
    run(root, tmp_path / 'out')
  (root / 'x.mp4').write_text('hello')
  with pytest.raises(BadInput, match='none of the 1 videos'):
    run(root, tmp_path / 'out')


def test_a_folder_that_may_not_be_read_is_named(videos, monkeypatch):
  """Its videos would be missing in silence."""
  scan = os.scandir

  def guarded(path):
    if str(path).endswith('deep'):
      raise PermissionError(13, 'Permission denied', str(path))
    return scan(path)

  monkeypatch.setattr(os, 'scandir', guarded)
  with pytest.raises(BadInput, match='deep cannot be read .Permission denied.: change its'):
    footage.find_videos(videos, videos / 'out')


def test_long_videos_become_several_clips(tmp_path):
  export.write_mp4(tmp_path / 'in/long.mp4', moving(count=600), 60)  # x264: keyframe every 250
  run(tmp_path / 'in', tmp_path / 'out', '--max-seconds', '5')
  records = [record.decode(x) for path in record.shard_paths(tmp_path / 'out', 'train')
             for x in array_record_module.ArrayRecordReader(path).read_all()]
  assert [r['num_frames'] for r in records] == [250, 250, 100]
  assert [r['t_start'] for r in records] == pytest.approx([0, 250 / 60, 500 / 60])
  assert len({r['clip_id'] for r in records}) == 3


def test_few_clips_serve_both_splits_and_that_is_said(videos, tmp_path, capsys):
  run(videos, tmp_path / 'out')
  assert read(tmp_path / 'out', 'train').keys() == read(tmp_path / 'out', 'test').keys()
  assert 'every clip is in train and in test' in capsys.readouterr().out


def test_many_clips_are_split_by_content():
  clips = [ingest.Clip(None, f'{i * 2654435761 % 2 ** 32:08x}', {}) for i in range(200)]
  splits = shard.assign_splits(clips, 0.1)
  assert len(splits['train']) + len(splits['test']) == 200
  assert 10 <= len(splits['test']) <= 30
  assert splits == {name: [c for c in clips if shard.split_of(c.content, 0.1) == name]
                    for name in ('train', 'test')}


@given(content=st.integers(0, 2 ** 32 - 1), a=st.floats(0, 1), b=st.floats(0, 1))
def test_a_larger_test_share_only_adds_sources(content, a, b):
  small, large = (shard.split_of(f'{content:08x}', f) for f in (min(a, b), max(a, b)))
  assert (small, large) != ('test', 'train')


def test_worker_processes_give_the_same_shards(videos, tmp_path):
  run(videos, tmp_path / 'one')
  shard.main(['--input', str(videos), '--output', str(tmp_path / 'two'), '--workers', '2'])
  one, two = ([p.read_bytes() for p in sorted((tmp_path / name).glob('*array_record*'))]
              for name in ('one', 'two'))
  assert one == two and len(one) == 2


def test_a_crash_takes_only_its_own_file():
  with tqdm.tqdm(total=1, disable=True) as progress:
    assert ingest._in_workers(os._exit, [3], 1, progress) == {}  # pylint: disable=protected-access
    assert ingest._in_workers(str, [3, 4], 1, progress) == {3: '3', 4: '4'}


def test_finished_work_is_recognised(videos, tmp_path, capsys, monkeypatch):
  run(videos, tmp_path / 'out')
  with monkeypatch.context() as patch:
    patch.setattr(ingest, 'ingest_all', None)  # would fail if anything were done again
    run(videos, tmp_path / 'out')
  assert 'nothing to do' in capsys.readouterr().out


@pytest.mark.parametrize('change', ['a new video', 'an option', 'a caption', 'a lost shard'])
def test_changed_input_is_done_again(videos, tmp_path, change):
  output = tmp_path / 'out'
  run(videos, output, '--num-shards', '2')
  options = ['--num-shards', '2']
  if change == 'a new video':
    export.write_mp4(videos / 'd.mp4', moving(9), 8)
  elif change == 'an option':
    options = []
  elif change == 'a caption':
    (videos / 'a.txt').write_text('new words')
  else:
    os.remove(record.shard_paths(output, 'train')[0])
  run(videos, output, *options)
  records = read(output, 'train')
  assert len(records) == (4 if change == 'a new video' else 3)
  assert len(record.shard_paths(output, 'train')) == (1 if change == 'an option' else 2)
  assert records['a.mp4']['captions'][2] == ('new words' if change == 'a caption' else '')


def test_shards_of_another_origin_are_not_overwritten(videos, tmp_path):
  run(videos, tmp_path / 'out')
  (tmp_path / 'out' / 'shard_manifest.json').unlink()
  with pytest.raises(BadInput, match='another origin'):
    run(videos, tmp_path / 'out')


def test_the_output_may_lie_inside_the_input(videos):
  run(videos, videos / 'out')
  export.write_mp4(videos / 'out/left.mp4', moving(8), 8)
  assert 'out/left.mp4' not in footage.find_videos(videos, videos / 'out')
  assert not (videos / 'out/.staging').exists()


@pytest.mark.parametrize('option, value', [
    ('--test-fraction', '1'), ('--max-seconds', '0'), ('--max-seconds', 'inf'),
    ('--max-seconds', 'nan'), ('--num-shards', '0'), ('--workers', '-1')])
def test_numbers_out_of_range_are_refused(videos, tmp_path, option, value):
  with pytest.raises(BadInput, match=option):
    shard.parse_args(['--input', str(videos), '--output', str(tmp_path), option, value])
