"""Making the clips of a protocol: from each real one, resumable, ready to be measured."""

import json
import pathlib

import numpy as np
import pytest

from svdjax import measure, produce
from svdjax.core.errors import BadInput
from svdjax.inputs import export, video

pytestmark = pytest.mark.usefixtures('compiled')
PROTOCOL = pathlib.Path(produce.__file__).parents[1] / 'experiments' / 'protocols' / 'clips.py'


@pytest.fixture(scope='module')
def real(tmp_path_factory):
  """Three real clips of 3 frames, two of them with a caption."""
  folder = tmp_path_factory.mktemp('real')
  for i in range(3):
    frames = np.random.default_rng(i).integers(0, 256, (3, 16, 24, 3), np.uint8)
    export.write_mp4(folder / 'some' / f'{i}.mp4', frames, 8)
  (folder / 'captions.csv').write_text('file,caption\nsome/0.mp4,a red star\nsome/1.mp4,a box\n')
  return folder


@pytest.fixture
def image_protocol(tmp_path):
  path = tmp_path / 'protocol.py'
  path.write_text('from experiments.protocols import base\n\ndef get_config():\n'
                  "  c = base.get_base()\n  c.frames = 3\n  c.made.prompt = 'image'\n  return c\n")
  return path


def run(workdir, real, made, protocol, *options):
  produce.main(['--checkpoint', str(workdir), '--real', str(real), '--made', str(made),
                '--protocol', str(protocol), '--batch', '2', *map(str, options)])


def test_each_real_clip_gets_one_and_a_stopped_run_goes_on(
    workdir_of, real, tmp_path, image_protocol, capsys):
  made, workdir = tmp_path / 'made', workdir_of('i2v_14f,base')
  run(workdir, real, made, image_protocol, '--seed', 3, '--steps', 2)
  paths = sorted(made.rglob('*.mp4'))
  assert [p.relative_to(made).as_posix() for p in paths] == [f'some/{i}.mp4' for i in range(3)]
  assert video.probe(paths[0]).num_frames == 3
  told = json.loads(export.read_metadata(paths[0])['comment'])
  assert told['clip'] == 'some/0' and told['seed'] == 3 and told['steps'] == 2
  before = [video.decode(p) for p in paths]
  paths[1].unlink()
  run(workdir, real, made, image_protocol, '--seed', 3, '--steps', 2)
  for path, frames in zip(paths, before):
    np.testing.assert_array_equal(video.decode(path), frames)
  run(workdir, real, made, image_protocol)
  assert 'all 3 clips are in' in capsys.readouterr().err
  measure.main(['--real', str(real), '--made', str(made), '--protocol', str(image_protocol)])
  assert 'first-frame PSNR' in capsys.readouterr().out


def test_orbits_are_made_of_folders_of_views(workdir_of, tmp_path):
  """As for Google Scanned Objects: the first view is given, and the elevation of them all."""
  (tmp_path / 'real' / 'cup').mkdir(parents=True)
  for i in range(3):
    pixels = np.full((16, 16, 3), 80 * i, np.uint8)
    export.write_png(tmp_path / 'real' / 'cup' / f'{i:03d}.png', pixels)
  gso = PROTOCOL.with_name('gso.py')
  small = ('--frames', 3, '--height', 16, '--width', 16)
  with pytest.raises(BadInput, match='elevation of the camera, one for all views, and 0 are given'):
    run(workdir_of('multiview'), tmp_path / 'real', tmp_path / 'made', gso, *small)
  run(workdir_of('multiview'), tmp_path / 'real', tmp_path / 'made', gso, *small, '--elevation', 10)
  assert video.decode(tmp_path / 'made' / 'cup.mp4').shape == (3, 16, 16, 3)


@pytest.mark.parametrize('options, message', [
    (['--batch', 0], 'must be at least 1'), (['--prompt', 'x'], 'not for svdjax.produce'),
    (['--steps', -1], 'steps must be at least 1')])
def test_options_that_cannot_work(workdir_of, real, tmp_path, image_protocol, options, message):
  with pytest.raises(BadInput, match=message):
    run(workdir_of('i2v_14f,base'), real, tmp_path / 'made', image_protocol, *options)


def test_a_clip_without_a_caption(workdir_of, real, tmp_path):
  with pytest.raises(BadInput, match='2.mp4 has no caption'):
    run(workdir_of('image_discrete'), real, tmp_path / 'made', PROTOCOL, '--frames', 1)
