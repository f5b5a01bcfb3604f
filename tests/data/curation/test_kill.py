"""kill -9 where it hurts most: amid the answers of a model, and amid the shards."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from data.toyworld import film, reel

ROOT = pathlib.Path(__file__).parents[3]
# Ends itself without warning as it is about to give a file of this name its final name.
_KILLED = '''
import os, signal, sys
word, left = sys.argv[1], int(sys.argv[2])
def watch(event, args):
  global left
  if event == 'os.rename' and word in str(args[1]):
    left -= 1
    if not left:
      os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from data import curate
curate.main(sys.argv[3:])
'''


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
  root = tmp_path_factory.mktemp('videos')
  for i in range(3):
    made = reel.make([reel.Shot('pan', 2.2, 5 * i + k) for k in range(2)], 72, 96, 12)
    film.write(root / f'{i}.mp4', made.frames, 12)
  return root


def test_what_is_killed_goes_on_to_the_same_bytes(videos, tmp_path, command, monkeypatch):
  here = str(pathlib.Path(__file__).parent)
  monkeypatch.syspath_prepend(here)
  log = tmp_path / 'log'
  options = ('--preset', 'none', '--num-shards', '2', '--test-fraction', '0', '--annotate',
             f'plugins:Plugin,log={log}')
  command(videos, tmp_path / 'whole', *options)
  log.unlink()
  output = tmp_path / 'out'
  for word, count in (('annotations', 2), ('.array_record-', 2)):
    ended = subprocess.run(
        [sys.executable, '-c', _KILLED, word, str(count), '--input', str(videos), '--output',
         str(output), '--workers', '0', *options], cwd=ROOT, check=False, capture_output=True,
        env=os.environ | {'PYTHONPATH': f'{here}:{ROOT}'})
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (output / 'ledger' / 'shards.json').exists()
  assert len(list(output.glob('*.array_record-*'))) > 1
  command(None, output, '--preset', 'none', '--num-shards', '2', '--test-fraction', '0')
  asked = list(map(int, log.read_text().split()))
  assert 6 < sum(asked) < 12  # what was on disk before the kill is not asked again
  read = lambda folder: {p.name: p.read_bytes() for p in folder.glob('*') if p.is_file()}
  assert read(output) == read(tmp_path / 'whole')
