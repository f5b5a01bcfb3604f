"""The pose reader finds the camera of rendered turntables."""

import dataclasses
import json

import numpy as np
import pytest

from data.toyworld import clip
from data.toyworld import render
from data.toyworld import scene as scenes
from data.toyworld import turntable
from data.toyworld import world as worlds
from svdjax.core.errors import BadInput
from svdjax.metrics import pose
from svdjax.metrics import segment


@pytest.fixture(scope='module')
def world():
  description = worlds.describe() | {'models': turntable.models()}
  return segment.make_world(json.loads(json.dumps(description)))


def draw(index):
  """(frames [8 64 64 3], truth) of a test turntable."""
  scene = scenes.sample(0, 'test', index, {'turntable': 1})
  return render.render(scene, 64, 64, 8), clip.truth(scene, 8, 8)


def read(world, frames, facts):
  reader = pose.PoseReader(world, facts['shape'], (facts['color'], facts['second_color']))
  return np.stack([reader.read(f) for f in frames])


@pytest.fixture(scope='module')
def turns(world):
  """[(readings [8 3], truth)] of six turntables."""
  clips = [draw(i) for i in range(6)]
  return [(read(world, *c), c[1]) for c in clips]


def test_azimuth_and_elevation_are_the_true_ones(turns):
  """Where one colour alone is seen, a cube looks alike from 90 degrees on: a few frames are off."""
  errors = [pose.pose_error(r, f['azimuth'], f['elevation']) for r, f in turns]
  assert np.mean([e['azimuth'] for e in errors]) < 12
  assert np.median([abs((a - b + 180) % 360 - 180) for r, f in turns
                    for a, b in zip(r[:, 0], f['azimuth'])]) < 4
  assert np.mean([e['elevation'] for e in errors]) < 5
  assert all(e['found'] == 1 for e in errors)


def test_a_copied_view_does_not_turn(world):
  frames, facts = draw(0)
  error = pose.pose_error(read(world, frames[:1].repeat(8, 0), facts), facts['azimuth'],
                          facts['elevation'])['azimuth']
  assert error == pytest.approx(pose.still_view_error(facts['azimuth']), abs=10)
  assert pose.still_view_error(facts['azimuth']) == pytest.approx(90)


def test_made_views_are_compared_with_the_true_azimuths(world):
  frames, facts = draw(0)
  clips = np.stack([frames, frames[:1].repeat(8, 0), np.full_like(frames, 190)])
  errors = pose.pose_errors(clips, [facts['azimuth']] * 3, [facts] * 3, world)['azimuth']
  np.testing.assert_allclose(errors, [0, 90 * 8 / 7, 90], atol=5)


def test_views_from_another_height_are_as_far_off_as_it_is_higher(world):
  scene = scenes.sample(0, 'test', 0, {'turntable': 1})
  facts = clip.truth(scene, 8, 8) | {'elevation': 10.}
  clips = np.stack([render.render(dataclasses.replace(scene, elevation=e), 48, 48, 8)
                    for e in (10., 40.)])
  nothing = np.full_like(clips[:1], 190)
  errors = pose.pose_errors(np.concatenate([clips, nothing]), [facts['azimuth']] * 3, [facts] * 3,
                            world)['elevation']
  np.testing.assert_allclose(errors[:2], [0, 30], atol=5)
  assert errors[2] == pose.chance(10.)['elevation'] == 15.5


def test_the_elevation_of_small_true_views_is_read_within_5_degrees(world):
  truths = [scenes.sample(0, 'test', i, {'turntable': 1}) for i in range(12)]
  for scene in truths:
    facts = clip.truth(scene, 7, 8)
    frames = render.render(scene, 48, 48, 7)[None]
    assert pose.pose_errors(frames, [facts['azimuth']], [facts], world)['elevation'] < 5


def test_what_the_reader_gets_wrong_of_true_views_counts(world, turns):
  """Of which it would know nothing if it were compared with itself."""
  for index, (readings, facts) in enumerate(turns):
    own = pose.pose_errors(draw(index)[0][None], [facts['azimuth']], [facts], world)
    wanted = pose.pose_error(readings[1:], facts['azimuth'][1:], facts['elevation'])
    for angle, values in own.items():
      assert values == pytest.approx(wanted[angle]) and values > 0


def test_nothing_seen_counts_as_chance(world):
  _, facts = draw(0)
  grey = np.full((8, 64, 64, 3), 190, np.uint8)
  error = pose.pose_error(read(world, grey, facts), facts['azimuth'], facts['elevation'])
  assert error == pose.chance(facts['elevation']) | {'found': 0}


def test_data_that_do_not_tell_the_solids():
  with pytest.raises(BadInput, match='corners of the solid "cube"'):
    pose.PoseReader(segment.make_world(json.loads(json.dumps(worlds.describe()))), 'cube',
                    ('red', 'blue'))


def test_the_reader_sees_as_the_renderer_does():
  corners = turntable.solid('cube')[0]
  np.testing.assert_allclose(pose.view(corners, 70., 20.), turntable.view(corners, 70., 20.))
