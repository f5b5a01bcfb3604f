"""A whole clip at a higher frame rate: what is given stays, what is new lies between."""

import json

import numpy as np
import pytest

from svdjax import checkpoint, generate, interpolate, sample
from svdjax.core.errors import BadInput
from svdjax.inputs import export, video
from svdjax.tasks import parts as parts_lib

pytestmark = pytest.mark.usefixtures('compiled')


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
  """clip(frames) -> path of an mp4 of a bright square that moves right, 20x40 at 5 fps."""
  def make(frames):
    pixels = np.full((frames, 20, 40, 3), 60, np.uint8)
    for t in range(frames):
      pixels[t, 6:14, 4 + 4 * t:12 + 4 * t] = 220
    path = tmp_path_factory.mktemp('clips') / f'{frames}.mp4'
    export.write_mp4(path, pixels, 5)
    return path
  return make


def run(workdir, out, *arguments):
  sample.main(['--checkpoint', str(workdir), '--out', str(out), *map(str, arguments)])
  return video.probe(out), json.loads(export.read_metadata(out)['comment'])


def test_a_clip_at_a_higher_rate(workdir_of, clip, tmp_path):
  """Six frames are five pairs: a batch of PAIRS and one more; this model makes one between two."""
  workdir = workdir_of('interpolation')
  info, told = run(workdir, tmp_path / 'x.mp4', '--interpolate', clip(6))
  assert (info.num_frames, info.fps) == (11, 10) and (info.height, info.width) == (16, 24)
  assert told['fps'] == 10 and 0 < told['motion'] < 255
  given = interpolate.read(clip(6), 16, 24, 3).frames
  made = video.decode(tmp_path / 'x.mp4')
  assert np.abs(made[::2].astype(int) - given).mean() < 3  # the mp4 is lossy
  assert np.abs(made[1::2].astype(int) - given[1:]).mean() > 10  # random weights


@pytest.fixture(scope='module')
def model(workdir_of, compiled):
  """f(frames [n 16 24 3], progress=None) -> the interpolated clip, before it is written."""
  config, params, _ = checkpoint.load(workdir_of('interpolation'))
  generator = generate.build(config, parts_lib.build(config.model),
                             generate.settings(config, frames=5))
  inputs = {n: np.full(1, x, np.float32) for n, x in (('fps', 7.), ('motion', 99.),
                                                      ('cond_aug', 0.02))}
  key = __import__('jax').random.key(0)

  def f(frames, progress=None):
    footage = interpolate.Footage(frames, 8.)
    return interpolate.run(generator, params, inputs, footage, key, progress)

  return f


def test_every_pair_gains_three_frames_of_its_own(model):
  frames = np.random.default_rng(0).integers(0, 255, (7, 16, 24, 3)).astype(np.uint8)
  seen = []
  made = model(frames, seen.append)
  assert made.shape == (25, 16, 24, 3) and made.dtype == np.uint8
  np.testing.assert_array_equal(made[::4], frames)
  assert seen == [1, 2, 3, 4]  # two batches of two steps
  shorter = model(frames[:3])
  np.testing.assert_allclose(shorter.astype(int), made[:9], atol=1)  # later frames do not count


def test_a_single_frame_is_refused(workdir_of, clip, tmp_path):
  with pytest.raises(BadInput, match='has a single frame: frames are made between two'):
    run(workdir_of('interpolation'), tmp_path / 'x.mp4', '--interpolate', clip(1))
  with pytest.raises(BadInput, match='none.mp4'):
    run(workdir_of('interpolation'), tmp_path / 'x.mp4', '--interpolate', 'none.mp4')


def test_more_frames_than_memory_holds(clip, monkeypatch):
  monkeypatch.setattr(interpolate.memory, 'free_bytes', lambda: 10_000)
  with pytest.raises(BadInput, match='has 6 frames, which become .* cut it into shorter clips'):
    interpolate.read(clip(6), 16, 24, 5)
  monkeypatch.setattr(interpolate.memory, 'free_bytes', lambda: None)
  assert interpolate.read(clip(6), 16, 24, 5).frames.shape == (6, 16, 24, 3)


def test_a_model_is_told_no_rate_that_it_was_not_trained_on(nano):
  config = nano('interpolation')
  assert config.data.fps == (6., 4.)
  told = interpolate.told_rate(config, np.float32([1., 4., 99.]))
  np.testing.assert_array_equal(told, [3., 4., 5.])


def test_a_clip_is_interpolated_once(tmp_path):
  with pytest.raises(BadInput, match='--samples above 1 and --interpolate do not'):
    run('unread', tmp_path / 'x.mp4', '--interpolate', 'x.mp4', '--samples', 2)
