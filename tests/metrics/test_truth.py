"""The reader finds in rendered clips what is true of them."""

import dataclasses
import json

import cv2
import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from data.toyworld import clip
from data.toyworld import render
from data.toyworld import scene as scenes
from data.toyworld import world as worlds
from svdjax.core.errors import BadInput
from svdjax.metrics import segment
from svdjax.metrics import truth

OPPOSITE = {'left': 'right', 'right': 'left', 'up': 'down', 'down': 'up'}
some = hypothesis.settings(max_examples=10, deadline=None)


@pytest.fixture(scope='module')
def world():
  return segment.make_world(json.loads(json.dumps(worlds.describe())))


def draw(kind, index, **changes):
  """(frames [8 48 64 3], truth) of a test scene."""
  scene = scenes.sample(0, 'test', index, {kind: 1})
  scene = dataclasses.replace(scene, **changes)
  return render.render(scene, 48, 64, 8), clip.truth(scene, 8, 8)


def degrade(frames):
  rng = np.random.default_rng(0)
  blurred = np.stack([cv2.GaussianBlur(f.astype(float), (0, 0), 1.5) for f in frames])
  return np.clip(blurred + rng.normal(0, 8, frames.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('change', [lambda frames: frames, degrade], ids=['clean', 'degraded'])
def test_colour_shape_and_direction_are_read_from_small_clips(world, change):
  clips = [draw(kind, i) for i in range(20) for kind in ('object', 'pointer')]
  readings = [truth.read_clip(change(frames), world) for frames, _ in clips]
  scores = truth.accuracy(readings, [t for _, t in clips])
  assert scores['color'] >= 0.97 and scores['direction'] >= 0.97 and scores['shape'] >= 0.9
  assert scores['n'] == scores['n_direction'] == 40


def test_the_displacement_is_the_true_one(world):
  for index in range(8):
    frames, facts = draw('object', index, start=(0.5, 0.5), direction='left', travel=0.25, spin=0.0)
    np.testing.assert_allclose(truth.read_clip(frames, world).displacement, (-0.25, 0), atol=0.02)
    np.testing.assert_allclose(np.array(facts['velocity']) * 7 / 8, (-0.25, 0), atol=1e-4)


@some
@hypothesis.given(index=st.integers(0, 10**6), direction=st.sampled_from(list(OPPOSITE)))
def test_mirrored_motion_mirrors_the_reading(world, index, direction):
  still = dict(start=(0.5, 0.5), travel=0.2, spin=0.0)
  one = truth.read_clip(draw('object', index, direction=direction, **still)[0], world)
  other = truth.read_clip(draw('object', index, direction=OPPOSITE[direction], **still)[0], world)
  assert (one.direction, other.direction) == (direction, OPPOSITE[direction])
  assert (one.color, one.shape) == (other.color, other.shape)
  np.testing.assert_allclose(one.displacement, -np.array(other.displacement), atol=0.01)


@some
@hypothesis.given(index=st.integers(0, 10**6))
def test_a_clip_played_backwards_moves_the_other_way(world, index):
  frames, _ = draw('object', index, direction='up', start=(0.5, 0.6), travel=0.2)
  forward, backward = truth.read_clip(frames, world), truth.read_clip(frames[::-1], world)
  assert (forward.direction, backward.direction) == ('up', 'down')
  np.testing.assert_allclose(forward.displacement, -np.array(backward.displacement), atol=1e-6)


def test_one_frame_tells_colour_and_shape_but_no_direction(world):
  frames, facts = draw('pointer', 3)
  reading = truth.read_image(frames[0], world)
  assert (reading.color, reading.shape) == (facts['color'], 'arrow')
  assert reading.direction == 'none' and reading.displacement == (0.0, 0.0)


def test_a_lost_object_counts_as_wrong(world):
  grey = np.full((4, 48, 64, 3), 190, np.uint8)
  reading = truth.read_clip(grey, world)
  assert not reading.found
  _, facts = draw('object', 0)
  assert truth.accuracy([reading], [facts])['color'] == 0.0


@pytest.mark.parametrize('move', [*worlds.DIRECTIONS, *worlds.ZOOMS, 'none'])
def test_the_camera_move_is_read_from_the_ground(world, move):
  for index in range(3):
    frames, facts = draw('camera', index, move=move, travel=0.2, start=(0.5, 0.5))
    reading = truth.read_camera(frames, world)
    assert reading.move == facts['camera']['move'] == move
    moved = -np.array(facts['camera']['velocity']) * 7 / 8
    np.testing.assert_allclose(reading.displacement, moved, atol=0.02)
    np.testing.assert_allclose(reading.zoom, facts['camera']['zoom'] ** (7 / 8), rtol=0.03)


def test_a_moving_object_is_not_a_moving_camera(world):
  moves = [truth.read_camera(draw('object', i)[0], world).move for i in range(12)]
  assert moves == ['none'] * 12


def test_solids_are_left_out_and_camera_clips_have_no_direction_to_read():
  right = truth.Reading(True, 'red', 'star', 'none')
  facts = [{'kind': kind, 'color': 'red', 'shape': 'star', 'direction': 'none'}
           for kind in ('camera', 'turntable')]
  scores = truth.accuracy([right, right], facts)
  assert (scores['n'], scores['n_direction'], scores['color'], scores['shape']) == (1, 0, 1.0, 1.0)
  assert np.isnan(scores['direction'])


def test_the_world_is_read_from_the_data_folder_alone(tmp_path, world):
  with pytest.raises(BadInput, match='world.json'):
    truth.load_world(tmp_path)
  (tmp_path / 'world.json').write_text(json.dumps(worlds.describe()))
  assert truth.load_world(tmp_path).colors == world.colors == tuple(worlds.COLORS)
