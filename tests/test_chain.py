"""Longer videos of clips that share frames."""

import jax
import numpy as np
import pytest

from svdjax import chain, checkpoint, generate, sample
from svdjax.core.errors import BadInput
from svdjax.inputs import video
from svdjax.tasks import parts as parts_lib

pytestmark = pytest.mark.usefixtures('compiled')
KEY = jax.random.key(0)


@pytest.mark.parametrize('length, frames, overlap, count', [
    (15, 14, 1, 2), (27, 14, 1, 2), (28, 14, 1, 3), (40, 14, 4, 4), (5, 3, 2, 3)])
def test_clips_that_a_length_takes(length, frames, overlap, count):
  assert chain.clips(length, frames, overlap) == count
  assert frames + (count - 1) * (frames - overlap) >= length > frames + (count - 2) * (
      frames - overlap)


@pytest.mark.parametrize('name, changes', [
    ('multiview', {}), ('multiview,unposed', {}), ('interpolation', {}),
    ('i2v_14f', {'conditioning.scalars': ('cond_aug',)}),  # SV3D_u
    ('i2v_14f', {'conditioning.scalars': ('cond_aug', 'polar', 'azimuth')})])
def test_videos_that_do_not_go_on_have_no_length(nano, name, changes):
  with pytest.raises(BadInput, match='--length is of videos that go on'):
    chain.check(nano(name, changes), 3, 9, 1)


@pytest.mark.parametrize('name', ['i2v_14f', 't2v_hq', 'camera_lora'])
def test_videos_that_go_on_have_any_length(nano, name):
  chain.check(nano(name), 3, 9, 1)


def test_a_longer_video_goes_on_from_its_first_clip(workdir_of):
  config, params, _ = checkpoint.load(workdir_of('i2v_14f,base'))
  generator = generate.build(config, parts_lib.build(config.model), generate.settings(config))
  rng = np.random.default_rng(0)
  inputs = {n: np.full(2, x, np.float32) for n, x in (('fps', 3.), ('motion', 90.),
                                                      ('cond_aug', 0.02))}
  inputs['image'] = rng.uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
  seen = []
  made = chain.run(generator, params, inputs, KEY, 6, 2, seen.append)
  assert made.shape == (2, 6, 16, 24, 3) and seen == list(range(1, 9))  # four clips of two steps
  alone = generate.run(generator, params, inputs, generate.fold_name(KEY, 'clip 0'))
  np.testing.assert_array_equal(made[:, :3], alone)
  known = rng.standard_normal((2, 2, *generator.shape[1:])).astype(np.float32)
  x = generate.sample(generator, params, inputs | {'known': known}, KEY)
  np.testing.assert_array_equal(x[:, :2], known)


def test_the_command_makes_a_longer_video(workdir_of, tmp_path):
  from PIL import Image
  Image.new('RGB', (24, 16), 'red').save(tmp_path / 'x.png')
  sample.main(['--checkpoint', str(workdir_of('i2v_14f,base')), '--image',
               str(tmp_path / 'x.png'), '--length', '5', '--out', str(tmp_path / 'x.mp4')])
  assert video.probe(tmp_path / 'x.mp4').num_frames == 5
