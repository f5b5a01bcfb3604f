"""The sampling command, from photographs as people have them to files that people open."""

import json

import numpy as np
from PIL import Image
import pytest

from svdjax import checkpoint, generate, preview, sample, sampling, validate
from svdjax.core.errors import BadInput
from svdjax.inputs import export, video

pytestmark = pytest.mark.usefixtures('compiled')


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
  """{kind: path} of pictures with a bright upper left, once they are upright."""
  folder = tmp_path_factory.mktemp('photographs')
  grey = np.full((40, 60), 40, np.uint8)
  grey[:20, :30] = 220
  alpha = np.full_like(grey, 255)
  alpha[:5] = 0
  Image.merge('LA', (Image.fromarray(grey), Image.fromarray(alpha))).save(folder / 'grey.png')
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned clockwise by a quarter
  Image.fromarray(np.rot90(grey)).convert('RGB').save(folder / 'turned.jpg', exif=exif)
  (folder / 'text.png').write_text('no picture')
  return {path.stem: str(path) for path in folder.iterdir()}


def run(workdir, out, *arguments):
  sample.main(['--checkpoint', str(workdir), '--out', str(out), *map(str, arguments)])


@pytest.mark.parametrize('kind', ['grey', 'turned'])
def test_a_photograph_becomes_a_video_that_knows_its_settings(
    workdir_of, photographs, tmp_path, kind):
  out = tmp_path / 'new' / 'x.mp4'
  run(workdir_of('i2v_14f,base'), out, '--image', photographs[kind], '--seed', 5, '--fps', 6,
      '--motion', 90)
  info = video.probe(out)
  assert (info.num_frames, info.height, info.width, info.fps) == (3, 16, 24, 6)
  metadata = json.loads(export.read_metadata(out)['comment'])
  assert metadata['seed'] == 5 and metadata['motion'] == 90 and metadata['steps'] == 2
  assert metadata['image'] == photographs[kind] and metadata['step'] == 3
  assert metadata['raw'] is False and metadata['decoder'] is None


@pytest.mark.parametrize('kind', ['grey', 'turned'])
def test_photographs_reach_the_model_upright(nano, photographs, kind):
  args = sample.arguments(['--checkpoint', 'x', '--out', 'y', '--image', photographs[kind]])
  config = nano('i2v_14f,base')
  inputs, fps = sample.inputs_of(args, config, generate.settings(config), None)
  image = inputs['image'][0]
  assert image.shape == (16, 24, 3) and fps == 4
  assert image[5, 4].min() > 0.6 and image[14, 4].max() < -0.5 and image[5, 20].max() < -0.5
  assert (inputs['fps'], inputs['motion'], inputs['cond_aug']) == (3., 127., np.float32(0.02))


def test_text_models_are_told_of_no_noise_on_an_image(nano):
  """As while they are trained."""
  args = sample.arguments(['--checkpoint', 'x', '--out', 'y', '--prompt', 'a star'])
  config, tokenizer = nano('t2v_hq'), lambda texts: np.zeros((len(texts), 4), np.int32)
  inputs, _ = sample.inputs_of(args, config, generate.settings(config), tokenizer)
  batch = {'video': np.zeros((2, 3, 16, 24, 3), np.uint8), 'fps': np.ones(2, 'f'),
           'motion': np.ones(2, 'f')}
  assert inputs['cond_aug'] == 0 and (preview.inputs_of(config, batch, None)['cond_aug'] == 0).all()
  told = preview.inputs_of(nano('i2v_14f'), batch, None)['cond_aug']
  np.testing.assert_allclose(told, 0.02)


@pytest.mark.parametrize('name, options, wanted', [
    ('t2v_hq', ['--guidance', '1', '3'], ('linear', 1., 3.)),  # constant by itself
    ('t2v_hq', ['--guidance', '5'], ('constant', 5., 5.)),
    ('t2v_hq', [], ('constant', 1., 3.)),
    ('i2v_14f', ['--guidance', '2'], ('constant', 2., 2.)),
    ('i2v_14f', ['--guidance', '3', '1', '--guidance-schedule', 'triangle'], ('triangle', 3., 1.)),
    ('t2v_hq', ['--preset', 'svd', '--guidance', '1', '4'], ('linear', 1., 4.))])
def test_one_scale_is_constant_and_two_change_over_the_frames(nano, name, options, wanted):
  args = sample.arguments(['--checkpoint', 'x', '--out', 'y', *options])
  chosen = sampling.settings_of(args, nano(name), ())
  assert (chosen.guidance, chosen.guidance_min, chosen.guidance_max) == wanted


def test_several_samples_and_all_kinds_of_files(workdir_of, photographs, tmp_path):
  run(workdir_of('i2v_14f,base'), tmp_path / 'x.mp4', '--image', photographs['grey'],
      '--samples', 2, '--gif', '--strip', '--steps', 2)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      'x-0.gif', 'x-0.mp4', 'x-0.png', 'x-1.gif', 'x-1.mp4', 'x-1.png']
  assert Image.open(tmp_path / 'x-0.gif').n_frames == 3
  first, second = (video.decode(tmp_path / f'x-{i}.mp4') for i in range(2))
  assert (first != second).any()


def test_a_seed_is_a_video(workdir_of, tmp_path):
  for name, seed in (('a', -3), ('b', -3), ('c', 2 ** 40)):
    run(workdir_of('image_discrete'), tmp_path / f'{name}.mp4', '--prompt', 'a red star',
        '--seed', seed)
  same, again, other = (video.decode(tmp_path / f'{name}.mp4') for name in 'abc')
  np.testing.assert_array_equal(same, again)
  assert (same != other).any()


def test_sampler_schedule_and_guidance_reach_the_file(workdir_of, photographs, tmp_path):
  out = tmp_path / 'x.mp4'
  run(workdir_of('i2v_14f,base'), out, '--image', photographs['grey'], '--sampler', 'dpmpp_2m_sde',
      '--schedule', 'ays', '--guidance-interval', 0.1, 50, '--skip-scale', 1.5)
  metadata = json.loads(export.read_metadata(out)['comment'])
  assert (metadata['sampler'], metadata['schedule']) == ('dpmpp_2m_sde', 'ays')
  assert metadata['guidance_interval'] == [0.1, 50] and metadata['skip_scale'] == 1.5


@pytest.mark.parametrize('options, message', [
    (['--skip-scale', -1], '--skip-scale -1 is out of range'),
    (['--skip-layers', 'x'], 'does nothing without --skip-scale'),
    (['--guidance-interval', 5, 1], 'guidance_interval 5 to 1 is empty'),
    (['--sampler', 'dpmpp_2m', '--churn', 0.1], 'dpmpp_2m has no churn')])
def test_options_of_sampling_that_cannot_work(workdir_of, photographs, tmp_path, options, message):
  with pytest.raises(BadInput, match=message):
    run(workdir_of('i2v_14f,base'), tmp_path / 'x.mp4', '--image', photographs['grey'], *options)


@pytest.mark.parametrize('name', ['i2v_14f,base', 'camera_lora'])
@pytest.mark.parametrize('pattern, message', [
    ('(', '"\\(" is not a regular expression'), ('unet/none', 'matches no layer that can be')])
def test_layers_that_cannot_be_skipped_are_refused_before_parameters_are_read(
    workdir_of, photographs, tmp_path, monkeypatch, name, pattern, message):
  monkeypatch.setattr(checkpoint, 'load', None)
  given = ('--image', photographs['grey'], '--skip-scale', 1, '--skip-layers', pattern)
  with pytest.raises(BadInput, match=message):
    run(workdir_of(name), tmp_path / 'x.mp4', *given)
  with pytest.raises(TypeError):  # the layers are fine, and parameters are read
    run(workdir_of(name), tmp_path / 'x.mp4', *given[:-1], '.*mid_block.*')


def test_raw_weights_and_another_decoder(workdir_of, tmp_path):
  """The raw weights of these workdirs differ from the average, as does the other autoencoder."""
  made = {}
  for name, extra in (('plain', ()), ('raw', ('--raw',)),
                      ('decoder', ('--decoder', workdir_of('autoencoder,temporal')))):
    run(workdir_of('image_discrete'), tmp_path / f'{name}.mp4', '--prompt', 'a star', *extra)
    made[name] = video.decode(tmp_path / f'{name}.mp4')
  assert (made['raw'] != made['plain']).any() and (made['decoder'] != made['plain']).any()


@pytest.mark.parametrize('name, arguments, message', [
    ('image_discrete', ['--prompt', 'x', '--image', 'x.png'], 'takes no image: drop --image'),
    ('image_discrete', [], 'is conditioned on a prompt: pass --prompt'),
    ('i2v_14f,base', ['--prompt', 'x', '--image', 'x.png'], 'takes no prompt: drop --prompt'),
    ('i2v_14f,base', [], 'is conditioned on an image: pass --image'),
    ('i2v_14f,base', ['--image', 'a.png', 'b.png'], 'starts from 1 image, not 2: pass one --image'),
    ('interpolation', ['--image', 'a.png'], 'starts from 2 images, not 1: pass --image FIRST LAST'),
    ('interpolation', ['--image', 'a', 'b', '--frames', 2], 'leave none between'),
    ('i2v_14f,base', ['--interpolate', 'x.mp4'], '--interpolate needs a checkpoint'),
    ('interpolation', ['--interpolate', 'x.mp4', '--image', 'a', 'b'], 'takes no image: drop'),
    ('multiview', ['--image', 'GREY'], 'on the elevation of the camera, one for all views, and 0'),
    ('multiview', ['--image', 'GREY', '--elevation', 5, 6], 'one for all views, and 2'),
    ('multiview', ['--image', 'GREY', '--elevation', 100], 'is beyond the poles'),
    ('i2v_14f,base', ['--image', 'GREY', '--elevation', 5], 'takes no elevation: drop'),
    ('multiview', ['--image', 'GREY', '--elevation', 5, '--length', 9], '--length is of videos'),
    ('i2v_14f,base', ['--image', 'GREY', '--length', 3], '--length 3 is not more than the 3'),
    ('i2v_14f,base', ['--image', 'GREY', '--length', 9, '--overlap', 3], '--overlap 3 is not'),
    ('i2v_14f,base', ['--image', 'GREY', '--temporal-prompt', 'x'], 'no layers between frames'),
    ('i2v_14f,base', ['--image', 'GREY', '--azimuths', 9], 'is not conditioned on what --azimuths'),
    ('image_discrete', ['--prompt', 'x', '--motion', 9], 'not conditioned on what --motion says'),
    ('image_discrete', ['--prompt', 'x', '--cond-aug', 0.1], 'on what --cond-aug says'),
    ('i2v_14f,base', ['--image', 'none.png'], 'none.png is not a file'),
    ('i2v_14f,base', ['--image', 'TEXT'], 'cannot be read as an image'),
    ('i2v_14f,base', ['--image', 'GREY', '--height', 15], 'height 15 is not a positive multiple'),
    ('i2v_14f,base', ['--image', 'GREY', '--steps', -1], 'steps must be at least 1, not -1'),
    ('i2v_14f,base', ['--image', 'GREY', '--frames', 0], 'frames must be at least 1'),
    ('image_discrete', ['--prompt', 'x', '--steps', 1001], 'use 1 to 1000 steps'),
    ('image_discrete', ['--prompt', 'x', '--decoder', 'CLIP'], 'has no autoencoder'),
    ('autoencoder', ['--image', 'GREY'], 'of task autoencoding, which makes no video')])
def test_what_a_checkpoint_cannot_do(workdir_of, photographs, tmp_path, name, arguments, message):
  real = {'GREY': photographs['grey'], 'TEXT': photographs['text'], 'CLIP': workdir_of('clip')}
  with pytest.raises(BadInput, match=message):
    run(workdir_of(name), tmp_path / 'new' / 'x.mp4', *(real.get(a, a) for a in arguments))
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('arguments, message', [
    (['--samples', 0], '--samples must be at least 1'),
    (['--motion', 300], '--motion 300 is outside 0 to 255'),
    (['--motion', 'nan'], '--motion nan is outside'),
    (['--fps', 1], '--fps 1 is not a frame rate'), (['--fps', 'inf'], '--fps inf is not'),
    (['--fps', 'nan'], '--fps nan is not'),
    (['--guidance', 1, 2, 3], '--guidance takes one or two numbers'),
    (['--guidance', 'nan'], '--guidance takes one or two numbers'),
    (['--guidance', 1, 2, '--guidance-schedule', 'constant'], 'constant goes with one number of'),
    (['--guidance', 2, '--guidance-schedule', 'linear'], 'linear goes with two numbers of'),
    (['--cond-aug', -1], '--cond-aug -1 is out of range'),
    (['--churn', 'nan'], '--churn nan is out of range'),
    (['--overlap', 2], '--overlap is of videos made of several clips'),
    (['--decode-chunk', -2], '--decode-chunk -2 is out of range')])
def test_numbers_that_are_wrong_for_any_checkpoint(tmp_path, arguments, message):
  with pytest.raises(BadInput, match=message):
    run('unread', tmp_path / 'x.mp4', *arguments)


def test_places_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').touch()
  for out, message in ((tmp_path, 'is a folder'), (tmp_path / 'x.avi', 'does not end in .mp4'),
                       (tmp_path / 'file' / 'x.mp4', 'cannot be written')):
    with pytest.raises(BadInput, match=message):
      run('unread', out)


def test_folders_that_are_no_checkpoints(tmp_path):
  for folder in (tmp_path, tmp_path / 'none'):
    with pytest.raises(BadInput, match='is not a workdir'):
      run(folder, tmp_path / 'x.mp4', '--prompt', 'x')


def test_more_devices_than_there_are(workdir_of, photographs, tmp_path):
  for count in (0, 99):
    with pytest.raises(BadInput, match=f'--split-frames {count} asks for as many devices'):
      run(workdir_of('i2v_14f,base'), tmp_path / 'x.mp4', '--image', photographs['grey'],
          '--split-frames', count)


def test_pictures_that_memory_does_not_hold_are_refused_before_one_is_made(
    workdir_of, photographs, tmp_path, monkeypatch):
  monkeypatch.setattr(sample, 'inputs_of', None)
  monkeypatch.setattr(validate, 'available_bytes', lambda: 2 ** 34)
  for options in (['--height', 2 ** 22, '--width', 2 ** 22], ['--frames', 10 ** 12],
                  ['--samples', 10 ** 12]):
    with pytest.raises(BadInput, match='pixels needs about .* GiB are available: lower --frames'):
      run(workdir_of('i2v_14f,base'), tmp_path / 'x.mp4', '--image', photographs['grey'], *options)


def test_more_frames_than_memory_holds(workdir_of, photographs, tmp_path, monkeypatch):
  """Said before the parameters are read, which may not fit either."""
  monkeypatch.setattr(validate, 'available_bytes', lambda: 2 ** 24)
  monkeypatch.setattr(checkpoint, 'load', None)
  with pytest.raises(BadInput, match='1 x 400 frames .* GiB are available: lower --frames'):
    run(workdir_of('i2v_14f,base'), tmp_path / 'x.mp4', '--image', photographs['grey'],
        '--frames', 400)


def test_views_around_an_object_follow_the_elevation(workdir_of, photographs, tmp_path):
  made = {}
  for elevation in (-5, 60):
    out = tmp_path / f'{elevation}.mp4'
    run(workdir_of('multiview'), out, '--image', photographs['grey'], '--elevation', elevation,
        '--width', 16)
    made[elevation] = video.decode(out)
  assert made[60].shape == (3, 16, 16, 3) and (made[60] != made[-5]).any()
  with pytest.raises(BadInput, match='views of an object are square, not 16x24'):
    run(workdir_of('multiview'), tmp_path / 'x.mp4', '--image', photographs['grey'],
        '--elevation', 0)
