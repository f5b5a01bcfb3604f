"""Making the clips of a protocol: from each real one, resumable, ready to be measured."""

import argparse
import json
import pathlib

import numpy as np
import pytest

from svdjax import generate, measure, produce
from svdjax.core.errors import BadInput
from svdjax.inputs import export, video
from svdjax.metrics.source import Source, protocol_of

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
  orbits(workdir_of, tmp_path, '--elevation', 10)
  assert video.decode(tmp_path / 'made' / 'cup.mp4').shape == (3, 16, 16, 3)
  with pytest.raises(BadInput, match='and 2 are given: pass --elevation'):
    orbits(workdir_of, tmp_path, '--elevation', 10, 20, made='other')


def orbits(workdir_of, tmp_path, *options, made='made'):
  run(workdir_of('multiview'), tmp_path / 'real', tmp_path / made, PROTOCOL.with_name('gso.py'),
      '--frames', 3, '--height', 16, '--width', 16, *options)


def test_a_model_that_ends_with_the_given_view_is_turned_to_begin_with_it(
    workdir_of, tmp_path, monkeypatch):
  """As SV3D, whose last view is the given one."""
  (tmp_path / 'real' / 'cup').mkdir(parents=True)
  export.write_png(tmp_path / 'real' / 'cup' / '0.png', np.zeros((16, 16, 3), np.uint8))
  views = np.uint8([50, 100, 200])[None, :, None, None, None]
  monkeypatch.setattr(generate, 'run', lambda *_: np.broadcast_to(views, (2, 3, 16, 16, 3)))
  monkeypatch.setattr(produce, 'is_orbit', lambda config: True)
  orbits(workdir_of, tmp_path, '--elevation', 10)
  made = video.decode(tmp_path / 'made' / 'cup.mp4').mean((1, 2, 3))
  np.testing.assert_allclose(made, [200, 50, 100], atol=3)


def test_each_object_is_made_from_its_own_elevation(workdir_of, tmp_path):
  for name in ('cup', 'mug'):
    (tmp_path / 'real' / name).mkdir(parents=True)
    for i in range(3):
      export.write_png(tmp_path / 'real' / name / f'{i}.png', np.full((16, 16, 3), 80, np.uint8))
  (tmp_path / 'real' / 'elevations.csv').write_text('file,elevation\ncup,-5\nmug,60\n')
  orbits(workdir_of, tmp_path)
  orbits(workdir_of, tmp_path, '--elevation', 60, made='alike')
  own, alike = ({name: video.decode(tmp_path / made / f'{name}.mp4') for name in ('cup', 'mug')}
                for made in ('made', 'alike'))
  np.testing.assert_array_equal(own['mug'], alike['mug'])
  assert (own['cup'] != alike['cup']).any()
  comment = export.read_metadata(tmp_path / 'made' / 'cup.mp4')['comment']
  assert json.loads(comment)['elevation'] == [-5]


def test_an_object_without_an_elevation_is_refused_before_weights_are_read(
    workdir_of, tmp_path, monkeypatch):
  (tmp_path / 'real' / 'cup').mkdir(parents=True)
  export.write_png(tmp_path / 'real' / 'cup' / '0.png', np.zeros((16, 16, 3), np.uint8))
  (tmp_path / 'real' / 'elevations.csv').write_text('file,elevation\nmug,60\n')
  monkeypatch.setattr(produce, 'Maker', lambda *_: pytest.fail('the checkpoint was loaded'))
  with pytest.raises(BadInput, match='real/cup has no elevation, and .* add it to elevations.csv'):
    orbits(workdir_of, tmp_path)


def test_elevations_are_not_asked_of_a_checkpoint_that_is_told_none(real):
  source = Source(real, 'real', protocol_of(PROTOCOL))
  given = argparse.Namespace(prompt=None, elevation=None, checkpoint='x')
  source._elevations = {'some/0': 10.}
  assert produce.asked(given, source, 'some/0', ('fps', 'motion')).elevation is None
  assert produce.asked(given, source, 'some/0', ('polar',)).elevation == [10.]


@pytest.mark.parametrize('options, message', [
    (['--batch', 0], 'must be at least 1'), (['--prompt', 'x'], 'not for svdjax.produce'),
    (['--steps', -1], 'steps must be at least 1')])
def test_options_that_cannot_work(workdir_of, real, tmp_path, image_protocol, options, message):
  with pytest.raises(BadInput, match=message):
    run(workdir_of('i2v_14f,base'), real, tmp_path / 'made', image_protocol, *options)


def test_a_clip_without_a_caption(workdir_of, real, tmp_path):
  with pytest.raises(BadInput, match='2.mp4 has no caption'):
    run(workdir_of('image_discrete'), real, tmp_path / 'made', PROTOCOL, '--frames', 1)
