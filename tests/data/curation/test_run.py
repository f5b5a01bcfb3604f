"""Whole runs: the same bytes however the work is done, killed or repeated."""

import collections
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet
import pytest

from data.curation import rules
from data.toyworld import film, reel
from svdjax.core.errors import BadInput
from svdjax.inputs import pipeline, record, video

ROOT = pathlib.Path(__file__).parents[3]
FPS = 12


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
  """Six reels of three shots: a pan, a still and a page of text, and a caption beside the first."""
  root = tmp_path_factory.mktemp('videos')
  for i in range(6):
    made = reel.make([reel.Shot('pan', 2.5, 10 * i, 0.05 + 0.05 * i), reel.Shot('still', 2.5,
                      10 * i + 1), reel.Shot('text', 2.5, 10 * i + 2, 0.02)], 144, 256, FPS)
    film.write(root / f'{i}.mp4', made.frames, FPS)
  (root / '0.txt').write_text('a cloudy  pattern')
  return root


def shas(output):
  names = sorted(p.name for p in output.glob('*') if p.is_file())
  return {n: hashlib.sha256((output / n).read_bytes()).hexdigest() for n in names}


def start(videos, output, *options):
  return subprocess.Popen([sys.executable, '-m', 'data.curate', '--input', str(videos), '--output',
                           str(output), *options], cwd=ROOT, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.fixture(scope='module')
def reference(videos, tmp_path_factory):
  """The output of an undisturbed run in one process."""
  from data import curate
  output = tmp_path_factory.mktemp('reference')
  curate.main(['--input', str(videos), '--output', str(output), '--workers', '0'])
  return output


def shown(clip):
  """What a clip of `videos` shows in truth."""
  return ('pan', 'still', 'text')[int((clip['t_start'] + 0.01) / 2.5)]


def test_the_paper_drops_stills_and_text_alone(reference, records):
  every = pyarrow.parquet.read_table(reference / 'tables' / 'clips.parquet').to_pylist()
  assert collections.Counter(map(shown, every)) == {'pan': 6, 'still': 6, 'text': 6}
  motion = rules.PRESETS['paper'].index('motion_fb16<25%')
  moving = lambda clip: bool(clip['keep'] >> motion & 1)
  assert [shown(c) for c in every if not moving(c)] == ['still'] * 4  # a quarter of 18
  kept = {r['clip_id']: r for split in ('train', 'test') for r in records(reference, split)}
  assert collections.Counter(map(shown, kept.values())) == {'pan': 6, 'still': 2}
  for entry in kept.values():
    assert entry['keep'] == 2 ** len(json.loads(entry['preset'].decode())) - 1


def test_progress_shows_the_hours_kept_so_far(tmp_path, command, capsys):
  for seconds in (2.5, 4):
    made = reel.make([reel.Shot('pan', seconds, 1)], 72, 96, FPS)
    film.write(tmp_path / f'{seconds}.mp4', made.frames, FPS)
  command(tmp_path, tmp_path / 'out', '--preset', 'none', '--drop', 'seconds<3', '--drop',
          'motion<49%')  # a share, of no clip of two
  last = [line for line in capsys.readouterr().err.splitlines() if 'curating 2/2' in line][-1]
  assert f'hours in {6.5 / 3600:.4g}, hours kept {4 / 3600:.4g}' in last


def test_rules_say_how_many_clips_lack_their_score(reference, tmp_path, command, capsys):
  shutil.copytree(reference, tmp_path / 'all')
  command(None, tmp_path / 'all', '--preset', 'none', '--drop', 'clip_score<50%', '--drop',
          'seconds<1')
  told = capsys.readouterr().out
  assert 'keeps 18 of 18 clips, 18 of them without this score\n' in told
  assert 'keeps 18 of 18 clips\n' in told


def test_no_rule_drops_nothing(reference, tmp_path, command, records):
  shutil.copytree(reference, tmp_path / 'all')
  command(None, tmp_path / 'all', '--preset', 'none')
  every = records(tmp_path / 'all', 'train') + records(tmp_path / 'all', 'test')
  assert len({r['clip_id'] for r in every}) == 18


def test_records_tell_what_is_known(reference, records, videos):
  entries = [r for s in ('train', 'test') for r in records(reference, s)]
  pan = next(r for r in entries if r['source_uri'] == '0.mp4' and r['t_start'] == 0)
  assert pan['captions'] == ['', 'a cloudy  pattern'.replace('  ', ' ')] + ['a cloudy pattern']
  assert pan['caption_status'].tolist() == [0, 1, 1]
  frames = video.decode(pan['video'])
  np.testing.assert_array_equal(frames, video.decode(videos / '0.mp4')[:len(frames)])
  assert pan['flow16'].shape == (4, 16, 28, 2) and pan['codec'] == b'h264'
  assert np.isnan(pan['aesthetic']).all() and np.isnan(pan['caption_sim']).all()
  assert np.isnan(pan['clip_emb']).all()


def test_training_reads_the_shards(reference):
  from ml_collections import ConfigDict
  data = ConfigDict({
      'source': str(reference), 'frames': 8, 'fps': (6,), 'height': 32, 'width': 48,
      'crop': 'center', 'cache': False, 'captions': (0.5, 0.25, 0.25), 'drop_text': 0.0})
  clip = pipeline.Clips(data, 'train', seed=0).clip(0, 0)
  assert clip['video'].shape == (8, 32, 48, 3) and 0 <= clip['motion'] < 255


@pytest.mark.parametrize('workers', ['1', '3'])
def test_workers_give_the_same_bytes(workers, videos, reference, tmp_path, command):
  command(videos, tmp_path / 'out', '--workers', workers)
  assert shas(tmp_path / 'out') == shas(reference)


def test_a_killed_run_goes_on_to_the_same_bytes(videos, reference, tmp_path):
  output = tmp_path / 'out'
  for kills in range(3):
    process = start(videos, output, '--workers', '1')
    wanted = time.monotonic() + 60
    done = lambda: len(list(output.glob('ledger/sources/*/[0-9a-f]*.json')))
    while done() < 2 * kills + 1 and time.monotonic() < wanted and process.poll() is None:
      time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
  assert not (output / 'ledger' / 'shards.json').exists()
  kept = {p: p.stat().st_mtime_ns for p in output.glob('ledger/sources/*/[0-9a-f]*.json')}
  process = start(videos, output, '--workers', '1')
  assert process.wait() == 0, process.stderr.read()
  assert shas(output) == shas(reference)
  assert kept and all(p.stat().st_mtime_ns == then for p, then in kept.items())


def test_other_rules_touch_no_video(videos, tmp_path, command, records, monkeypatch):
  output = tmp_path / 'out'
  command(videos, output, '--preset', 'none')
  first = shas(output)
  monkeypatch.setattr('av.open', None)
  command(None, output, '--preset', 'none', '--drop', 'motion_fb16<50%')
  assert len({r['clip_id'] for s in ('train', 'test') for r in records(output, s)}) == 9
  command(None, output, '--preset', 'none')
  assert shas(output) == first


def test_the_same_run_again_writes_nothing(videos, reference, command):
  then = {p: p.stat().st_mtime_ns for p in reference.glob('svd_clips-*')}
  command(videos, reference)
  assert {p: p.stat().st_mtime_ns for p in reference.glob('svd_clips-*')} == then


def test_the_report_shows_both_sides_of_each_rule(reference):
  page = (reference / 'report' / 'index.html').read_text()
  for text in ('motion_fb16&lt;25%', 'text_area&gt;0.07', '<svg', 'rule0_dropped.png',
               'rule0_kept.png', 'rule3_dropped.png', 'clips a source'):
    assert text in page
  for name in ('rule0_dropped.png', 'rule0_kept.png'):
    assert (reference / 'report' / name).stat().st_size > 1000


def test_tfds_opens_the_folder(reference, records):
  import tensorflow_datasets as tfds
  source = tfds.builder_from_directory(str(reference)).as_data_source('train')
  assert {r['clip_id'] for r in source} == {r['clip_id'].encode() for r in records(reference)}


@pytest.mark.parametrize('options, message', [
    (['--input', 'nowhere'], 'does not exist'), ([], 'holds no earlier run'),
    (['--min-seconds', '0'], 'min-seconds'), (['--cascade', '8:20'], 'cascade'),
    (['--drop', 'beauty<3'], 'beauty'), (['--drop', 'motion_fb16<x'], 'motion_fb16'),
    (['--drop', 'width<9'] * 40, '46 rules .* at most 32'), (['--max-failed', '5'], 'max-failed'),
    (['--min-seconds', '9', '--max-seconds', '8'], 'min-seconds 9')])
def test_bad_input_is_refused_in_a_sentence(options, message, tmp_path):
  from data import curate
  with pytest.raises(BadInput, match=message):
    curate.main(['--output', str(tmp_path / 'out'), *options])


def test_rules_that_keep_nothing_are_named(videos, reference, command):
  with pytest.raises(BadInput, match='width<10000'):
    command(None, reference, '--drop', 'width<10000')
  assert record.shard_paths(reference, 'train')
