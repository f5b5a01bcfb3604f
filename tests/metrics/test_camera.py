"""The camera's move is read where frames show one ground, and nowhere else."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from data.toyworld import render
from data.toyworld import scene as scenes
from data.toyworld import world as worlds
from svdjax.metrics import camera
from svdjax.metrics import segment


@pytest.fixture(scope='module')
def world():
  return segment.make_world(json.loads(json.dumps(worlds.describe())))


def draw(kind, index, **changes):
  """Frames [8 48 64 3] of a test scene."""
  scene = dataclasses.replace(scenes.sample(0, 'test', index, {kind: 1}), **changes)
  return render.render(scene, 48, 64, 8)


def unrelated(blur, contrast, seed):
  """Frames [8 48 64 3] of noise that is smooth over `blur` pixels, each drawn for itself."""
  noise = np.random.default_rng(seed).standard_normal((8, 48, 64, 3))
  smooth = np.stack([cv2.GaussianBlur(f, (0, 0), blur) if blur else f for f in noise])
  return np.clip(190 + contrast * smooth / smooth.std(), 0, 255).astype(np.uint8)


def coded(frames):
  """As a small autoencoder gives frames back: a quarter of the resolution, and each with noise."""
  small = [cv2.resize(f, (16, 12), interpolation=cv2.INTER_AREA) for f in frames]
  large = np.stack([cv2.resize(f, (64, 48), interpolation=cv2.INTER_CUBIC) for f in small])
  noise = np.random.default_rng(0).normal(0, 4, frames.shape)
  return np.clip(large + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize('contrast', [15, 50])
@pytest.mark.parametrize('blur', [0, 1, 2, 4, 8])
def test_no_camera_is_read_from_unrelated_frames(world, blur, contrast):
  readings = [camera.read_camera(unrelated(blur, contrast, seed), world) for seed in range(3)]
  assert [r.move for r in readings] == [''] * 3


def test_no_camera_is_read_from_frames_of_different_clips(world):
  for first in range(0, 18, 6):
    frames = np.stack([draw('camera', first + i)[0] for i in range(6)])
    assert camera.read_camera(frames, world).move == ''


@pytest.mark.parametrize('move', [*worlds.DIRECTIONS, *worlds.ZOOMS, 'none'])
def test_moves_of_autoencoded_clips_are_read(world, move):
  for index in range(3):
    frames = draw('camera', index, move=move, travel=0.2, start=(0.5, 0.5))
    for clip in (frames, coded(frames)):
      reading = camera.read_camera(clip, world)
      assert reading.move == move and reading.unexplained < 0.05


def test_a_camera_stands_still_where_the_ground_is_pale_or_plain(world):
  for index in range(6):
    assert camera.read_camera(coded(draw('object', index)), world).move == 'none'
  plain = np.full((8, 48, 64, 3), 190, np.uint8)
  noise = np.random.default_rng(0).normal(0, 3, plain.shape)
  for frames in (plain, np.uint8(plain + noise)):
    assert camera.read_camera(frames, world).move == 'none'
