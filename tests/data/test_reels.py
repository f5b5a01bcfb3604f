"""Raw footage: what its truth says is what its files show."""

import json

import numpy as np
import pytest

from data.toyworld import reel, reels
from svdjax.core.errors import BadInput
from svdjax.inputs import video

SIZE = ['--height', '48', '--width', '64', '--fps', '8', '--workers', '1', '--shots', '4']


def test_the_command_writes_reels_and_their_truth(tmp_path):
  reels.main(['--output', str(tmp_path), '--reels', '2', *SIZE])
  for name in ('00000', '00001'):
    truth = json.loads((tmp_path / f'{name}.json').read_text())
    frames = video.decode(tmp_path / f'{name}.mp4')
    assert len(truth['shots']) == 4 and len(frames) == len(truth['shot_of'])
    change = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    for cut in truth['cuts']:
      assert change[cut - 1] > 3 * np.median(change) and truth['shot_of'][cut - 1] != (
          truth['shot_of'][cut])
    assert len(truth['cuts']) + len(truth['fades']) == 3


def test_reels_are_a_function_of_their_seed():
  assert reels.script(1, 2, 5, 0.5) == reels.script(1, 2, 5, 0.5) != reels.script(2, 2, 5, 0.5)
  assert {s.kind for s in reels.script(0, 0, 20, 0.0)} == {'toy'}
  assert 'toy' not in {s.kind for s in reels.script(0, 0, 20, 1.0)}


def test_a_fade_mixes_both_shots_and_black_passes_through_black():
  shots = [reel.Shot('still', 2, 1), reel.Shot('still', 3, 2, join='fade', joint=1.0),
           reel.Shot('still', 2, 3, join='black', joint=1.0)]
  made = reel.make(shots, 32, 48, 9)
  [(a, b), (c, d)] = made.fades
  ends = made.frames[a - 1].astype(float), made.frames[b + 1].astype(float)
  np.testing.assert_allclose(made.frames[a + 4], sum(ends) / 2, atol=1)
  assert made.frames[c:d + 1].mean(axis=(1, 2, 3)).min() < 1
  assert len(made.frames) == 7 * 9 - 18 and made.shot_of.tolist().count(-1) == 18


@pytest.mark.parametrize('options', [['--reels', '0'], ['--height', '33'], ['--junk', '2']])
def test_bad_numbers_are_refused(options, tmp_path):
  with pytest.raises(BadInput):
    reels.main(['--output', str(tmp_path), *options])
