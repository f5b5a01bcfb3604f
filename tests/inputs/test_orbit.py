"""Cameras around an object, views from clips of it, and its picture."""

import json

import numpy as np
from PIL import Image
import pytest

from svdjax.core.errors import BadInput
from svdjax.inputs import orbit


def test_one_turn_ends_at_the_conditioning_view():
  polar, azimuth = orbit.cameras(21, 10.)
  np.testing.assert_allclose(polar, np.deg2rad(80), rtol=1e-6)
  np.testing.assert_allclose(azimuth[:-1], np.deg2rad(360 / 21) * np.arange(1, 21), rtol=1e-5)
  assert azimuth[-1] == 0 and azimuth.dtype == np.float32


def test_angles_of_each_frame_are_relative_to_the_last():
  polar, azimuth = orbit.cameras(3, [0., 30., -30.], [100., 200., 40.])
  np.testing.assert_allclose(np.rad2deg(polar), [90, 60, 120], rtol=1e-6)
  np.testing.assert_allclose(np.rad2deg(azimuth), [60, 160, 0], rtol=1e-5)


@pytest.mark.parametrize('elevation, azimuths, message', [
    (91., None, 'beyond the poles'), ([0., 1.], None, 'elevation has 2 angles for 3 frames'),
    (0., [1.], 'azimuths has 1 angles for 3 frames')])
def test_angles_that_are_refused(elevation, azimuths, message):
  with pytest.raises(BadInput, match=message):
    orbit.cameras(3, elevation, azimuths)


def test_an_object_is_cut_out_and_centred_over_white(tmp_path):
  picture = np.zeros((100, 80, 4), np.uint8)
  picture[10:50, 50:70] = (0, 0, 255, 255)
  Image.fromarray(picture).save(tmp_path / 'object.png')
  image = orbit.load_object(tmp_path / 'object.png', 64)
  assert image.shape == (64, 64, 3) and image.dtype == np.float32
  blue = image[..., 0] < 0
  rows, columns = np.where(blue.any(1))[0], np.where(blue.any(0))[0]
  assert abs(len(rows) / 64 - 0.917) < 0.05 and abs(len(columns) / 64 - 0.917 / 2) < 0.05
  assert abs(rows.mean() - 31.5) <= 1 and abs(columns.mean() - 31.5) <= 1
  assert (image[0, 0] == 1).all() and (image[32, 32] == (-1, -1, 1)).all()


def test_an_opaque_picture_is_taken_as_it_is(tmp_path):
  Image.new('RGB', (64, 64), 'red').save(tmp_path / 'red.png')
  assert (orbit.load_object(tmp_path / 'red.png', 32) == (1, -1, -1)).all()


def test_nothing_is_no_object(tmp_path):
  Image.new('RGBA', (8, 8)).save(tmp_path / 'empty.png')
  with pytest.raises(BadInput, match='wholly transparent'):
    orbit.load_object(tmp_path / 'empty.png', 32)


def entry(views, truth):
  return {'pts': np.arange(views), 'clip_id': 'x', 'truth': json.dumps(truth) if truth else ''}


CIRCLE = {'elevation': 12.5, 'azimuth': [0.]}


def test_84_renders_give_every_fourth_from_any_start():
  starts = set()
  for seed in range(20):
    chosen, elevation = orbit.views(entry(84, CIRCLE), 21, True, np.random.default_rng(seed))
    assert elevation == 12.5 and set(np.diff(chosen)) <= {4, 4 - 84}
    starts.add(int(chosen[0]))
  assert len(starts) > 10
  assert orbit.views(entry(84, CIRCLE), 21, True, None)[0].tolist() == list(range(0, 84, 4))


def test_footage_is_spread_over_the_clip_from_its_first_frame():
  chosen, elevation = orbit.views(entry(10, None), 4, False, np.random.default_rng(0))
  assert chosen.tolist() == [0, 2, 5, 7] and elevation is None


@pytest.mark.parametrize('views, truth, message', [
    (20, CIRCLE, 'has 20 views, fewer than config.data.frames 21'),
    (21, None, 'has no elevation and azimuth: train the variant unposed'),
    (21, {'elevation': 3.}, 'has no elevation and azimuth')])
def test_clips_that_are_no_orbit(views, truth, message):
  with pytest.raises(BadInput, match=message):
    orbit.views(entry(views, truth), 21, True, np.random.default_rng(0))
