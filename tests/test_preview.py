"""Which clips are drawn while training."""

import json

import pytest

from svdjax import preview
from svdjax.inputs import record


@pytest.fixture
def moves(tmp_path):
  """A data folder whose training clips' camera pans left, and whose held-out clips' zooms in."""
  from data.toyworld import clip
  made = clip.make({'seed': 0, 'height': 16, 'width': 16, 'frames': 8, 'fps': 8,
                    'kinds': {'camera': 1.}}, 'train', 0)
  for split, move in (('train', 'left'), ('test', 'in')):
    truth = json.dumps({'camera': {'move': move}})
    record.write_split(tmp_path, split, [made | {'clip_id': move, 'truth': truth}] * 2)
  return tmp_path


@pytest.mark.parametrize('camera', ['left', 'in'])
def test_clips_are_held_out_where_there_are_such(nano, moves, camera):
  """A move that no held-out clip has is shown on clips of training, and stops no run."""
  config = nano('camera_lora,static', {'data.source': str(moves), 'sample.clips': 2})
  config.data.camera = (camera,)
  assert preview.held_out(config, None)['video'].shape == (2, 3, 16, 24, 3)
