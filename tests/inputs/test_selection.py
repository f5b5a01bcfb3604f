"""Clips chosen by how their camera moves."""

import json

import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.inputs import pipeline, record


@pytest.fixture(scope='module')
def moves(tmp_path_factory):
  """A data folder of six clips, one for each move and one that tells none."""
  from data.toyworld import clip
  folder = tmp_path_factory.mktemp('moves')
  made = clip.make({'seed': 0, 'height': 16, 'width': 16, 'frames': 4, 'fps': 8,
                    'kinds': {'camera': 1.}}, 'train', 0)
  rows = []
  for i, move in enumerate(['left', 'in', 'none', 'left', None]):
    truth = json.dumps({'camera': {'move': move}}) if move else ''
    rows.append(made | {'clip_id': str(i), 'truth': truth})
  turning = json.dumps({'camera': {'move': 'none'}, 'azimuth': [0., 90.], 'elevation': 10.})
  record.write_split(folder, 'train', [*rows, made | {'clip_id': 'table', 'truth': turning}])
  return folder


def clips(nano, folder, camera):
  config = nano('camera_lora,static', {'data.source': str(folder), 'data.frames': 2})
  config.data.camera = camera
  return pipeline.Clips(config.data, 'train', 0)


@pytest.mark.parametrize('camera, indices', [
    (('left',), '03'), (('left', 'in'), '013'), (('none',), '2')])
def test_only_clips_of_these_moves_are_drawn(nano, moves, camera, indices):
  """A turntable's camera goes around, whatever its move is called."""
  found = clips(nano, moves, camera)
  assert [record.decode(found.source[i])['clip_id'] for i in range(len(found))] == list(indices)
  batch = next(pipeline.batches(found, 4))
  assert batch['video'].shape == (4, 2, 16, 24, 3) and set(batch['index']) <= set(range(len(found)))


def test_a_move_that_no_clip_has_is_refused(nano, moves, toy):
  with pytest.raises(BadInput, match=r'camera moves up or down \(it has in, left, none'):
    clips(nano, moves, ('up', 'down'))
  np.testing.assert_equal(len(clips(nano, toy, ('none',))), 8)
