"""The camera's move is recognised in rendered clips with no word about their world."""

import dataclasses

import cv2
import numpy as np
import pytest

from data.toyworld import clip
from data.toyworld import render
from data.toyworld import scene as scenes
from data.toyworld import world as worlds
from svdjax.metrics import global_motion


def draw(kind, index, **changes):
  """(frames [8 96 128 3], truth) of a test scene."""
  scene = dataclasses.replace(scenes.sample(0, 'test', index, {kind: 1}), **changes)
  return render.render(scene, 96, 128, 8), clip.truth(scene, 8, 8)


@pytest.mark.parametrize('move', [*worlds.DIRECTIONS, *worlds.ZOOMS, 'none'])
def test_every_move_is_recognised(move):
  clips = [draw('camera', i, move=move, travel=0.2, start=(0.5, 0.5)) for i in range(4)]
  wanted = 'static' if move == 'none' else move
  assert global_motion.recognition([f for f, _ in clips], [wanted] * 4) >= 0.75


def test_pan_and_zoom_are_the_true_ones():
  frames, facts = draw('camera', 1, move='left', travel=0.2)
  got = global_motion.measure(frames)
  np.testing.assert_allclose(got.pan, -np.array(facts['camera']['velocity']) * 7 / 8, atol=0.03)
  frames, facts = draw('camera', 1, move='in', travel=0.2)
  assert global_motion.measure(frames).zoom == pytest.approx(
      facts['camera']['zoom'] ** (7 / 8), rel=0.05)


def test_a_moving_object_is_not_a_moving_camera():
  moves = [global_motion.measure(draw('object', i)[0]).move for i in range(6)]
  assert moves.count('static') >= 5


def test_families_of_moves():
  frames, _ = draw('camera', 1, move='right', travel=0.2)
  assert global_motion.recognition([frames] * 3, ['horizontal', 'vertical', 'zoom']) == (
      pytest.approx(1 / 3))


def unrelated(blur, height=96, width=128):
  """Frames [8 h w 3] of noise that is smooth over `blur` pixels, each drawn for itself."""
  rng = np.random.default_rng(blur)
  noise = rng.standard_normal((8, height, width, 3))
  smooth = np.stack([cv2.GaussianBlur(f, (0, 0), blur) if blur else f for f in noise])
  return np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize('size', [(48, 64), (96, 128), (256, 448)])
@pytest.mark.parametrize('blur', [0, 1, 4, 8])
def test_no_camera_is_read_from_unrelated_frames(blur, size):
  assert global_motion.measure(unrelated(blur, *size)).move == ''


def test_no_camera_is_read_from_frames_of_different_clips():
  frames = np.stack([draw('camera', i)[0][0] for i in range(6)])
  assert global_motion.measure(frames).move == ''
  assert global_motion.recognition([frames], ['static']) == 0


@pytest.mark.parametrize('blur', [1, 8])
def test_one_frame_throughout_is_static(blur):
  one = unrelated(blur)[:1].repeat(8, 0)
  assert global_motion.measure(one).move == 'static'
  assert global_motion.measure(np.full_like(one, 190)).move == 'static'


@pytest.mark.parametrize('move', [*worlds.DIRECTIONS, *worlds.ZOOMS, 'none'])
def test_moves_of_blurred_clips_are_read(move):
  frames, _ = draw('camera', 1, move=move, travel=0.2, start=(0.5, 0.5))
  small = [cv2.resize(f, (32, 24), interpolation=cv2.INTER_AREA) for f in frames]
  blurred = np.stack([cv2.resize(f, (128, 96), interpolation=cv2.INTER_CUBIC) for f in small])
  assert global_motion.measure(blurred).move == ('static' if move == 'none' else move)
