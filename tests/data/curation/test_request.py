"""What was asked once holds for the runs after it, and files of others are left alone."""

import json
import pathlib

import pytest

from data.curation import ledger
from data.toyworld import film, reel
from svdjax.core.errors import BadInput
from svdjax.inputs import record


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
  root = tmp_path_factory.mktemp('videos')
  made = reel.make([reel.Shot('pan', 1.2, k) for k in range(3)], 72, 96, 12)
  film.write(root / 'short.mp4', made.frames, 12)
  return root


@pytest.fixture
def asked(videos, tmp_path, command, monkeypatch):
  """An output of clips of a second with captions by tests/data/curation/plugins.py."""
  monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
  command(videos, tmp_path / 'out', '--preset', 'none', '--min-seconds', '1', '--annotate',
          'plugins:Plugin')
  return tmp_path / 'out'


def test_settings_and_annotators_are_remembered(asked, command, records, monkeypatch):
  first = {r['clip_id'] for r in records(asked)}
  assert len(first) == 3
  monkeypatch.setattr('av.open', None)
  command(None, asked, '--preset', 'none', '--drop', 'seconds<1')
  again = records(asked)
  assert {r['clip_id'] for r in again} == first
  assert all(r['captions'][0] == f'clip {r["clip_id"]}' for r in again)
  command(None, asked, '--min-seconds', '1', '--preset', 'none')  # the same is no difference


@pytest.mark.parametrize('option', [['--min-seconds', '2'], ['--max-seconds', '3'], ['--reencode'],
                                    ['--cascade', '0:27'], ['--whole'], ['--large']])
def test_cutting_anew_needs_the_videos(option, asked, command, videos):
  then = (asked / 'ledger' / 'manifest.json').read_bytes()
  with pytest.raises(BadInput, match=f'^{option[0]} .*give --input'):
    command(None, asked, '--preset', 'none', *option)
  assert (asked / 'ledger' / 'manifest.json').read_bytes() == then


def test_with_the_videos_they_are_cut_anew(asked, command, videos, records):
  command(videos, asked, '--preset', 'none', '--min-seconds', '1', '--max-seconds', '1.05',
          '--reencode')
  assert all(r['t_end'] - r['t_start'] < 1.1 and not r['captions'][0] for r in records(asked))


def test_another_annotator_needs_no_video(asked, command, records):
  log = asked / 'log'
  command(None, asked, '--preset', 'none', '--annotate', f'plugins:Plugin,log={log}')
  assert sum(map(int, log.read_text().split())) == 3
  assert json.loads((asked / 'ledger' / 'manifest.json').read_text())['annotate'] == [
      f'plugins:Plugin,log={log}']


def test_a_ledger_of_another_version_is_no_earlier_run(asked, command):
  ledger.write(asked / 'ledger' / 'manifest.json', [{'uri': 'short.mp4'}])
  with pytest.raises(BadInput, match='no earlier run'):
    command(None, asked)


def test_shards_of_another_origin_are_left_alone(videos, tmp_path, command):
  theirs = tmp_path / record.shard_name('train', 0, 1)
  theirs.write_bytes(b'theirs')
  with pytest.raises(BadInput, match='another origin'):
    command(videos, tmp_path)
  assert [p.name for p in tmp_path.iterdir()] == [theirs.name] and theirs.read_bytes() == b'theirs'
