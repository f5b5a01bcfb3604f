"""The captioner that knows the truth of raw toy footage."""

import pytest

from data.curation import annotators
from data.toyworld import caption, captioner, reel, reels
from svdjax.core.errors import BadInput


@pytest.fixture(scope='module')
def footage(tmp_path_factory):
  folder = tmp_path_factory.mktemp('footage')
  reels.main(['--output', str(folder), '--reels', '1', '--shots', '6', '--height', '48', '--width',
              '64', '--fps', '8', '--workers', '1', '--junk', '0.5'])
  return folder


def test_a_clip_is_captioned_by_the_shot_in_its_middle(footage):
  [shots] = [reels.script(0, 0, 6, 0.5)]
  plugin = captioner.Truth(str(footage))
  truth = plugin._truth('00000.mp4')  # pylint: disable=protected-access
  for number, shot in enumerate(shots):
    clear = [i for i, n in enumerate(truth['shot_of']) if n == number]
    view = annotators.View('id', '', ('', '', ''), (clear[-1] - clear[0]) / 8, '00000.mp4',
                           clear[0] / 8)
    [answer] = plugin([view])
    assert set(answer) == set(captioner.Truth.fields)
    if shot.kind == 'toy':
      assert list(answer.values()) == caption.captions(reel.scene_of(shot))
    else:
      word = {'still': 'photograph', 'text': 'page'}[shot.kind]
      assert all(word in text for text in answer.values())


def test_a_folder_without_reels_is_refused(tmp_path):
  with pytest.raises(BadInput, match='no reels'):
    captioner.Truth(str(tmp_path))
