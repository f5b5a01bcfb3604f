"""What each stage takes from the ones before it, and what it refuses to start from."""

import numpy as np
import pytest

from svdjax import checkpoint, handoff
from svdjax.core.errors import BadInput
from svdjax.inputs import pipeline
from svdjax.tasks import parts as parts_lib


def start(config, *workdirs):
  config.init_from = ','.join(map(str, workdirs))
  return handoff.start(config, parts_lib.build(config.model)).params


def test_a_first_stage_starts_fresh_and_from_its_seed(nano):
  one, same, other = (start(nano('autoencoder', {'seed': seed})) for seed in (0, 0, 1))
  name = 'vae/encoder/conv_in/kernel'
  np.testing.assert_array_equal(one[name], same[name])
  assert (one[name] != other[name]).any()


def test_an_image_stage_takes_the_average_and_leaves_what_it_does_not_use(nano, workdir_of):
  before = {name: checkpoint.load(workdir_of(name))[1] for name in ('autoencoder', 'clip')}
  params = start(nano('image_discrete'), workdir_of('autoencoder'), workdir_of('clip'))
  for name, x in params.items():
    network = name.split('/')[0]
    if network != 'unet':
      np.testing.assert_array_equal(x, before['clip' if 'clip' in network else 'autoencoder'][name])
  assert not any(name.startswith('clip_image') for name in params)


def test_temporal_layers_are_fresh_and_the_rest_is_taken(nano, workdir_of):
  params = start(nano('video_pretrain,low'), workdir_of('image_pretrain'))
  image = checkpoint.load(workdir_of('image_pretrain'))[1]
  fresh = {name for name in params if name not in image}
  assert fresh and all('temporal_' in n or 'time_mixer' in n or 'time_pos_embed' in n
                       or 'add_embedding' in n for n in fresh)
  for name in params.keys() - fresh:
    np.testing.assert_array_equal(params[name], image[name])


def test_the_first_convolution_is_widened_with_zeros(nano, workdir_of):
  params = start(nano('i2v_14f,base'), workdir_of('video_pretrain'), workdir_of('clip'))
  kernel = params['unet/conv_in/kernel']
  before = checkpoint.load(workdir_of('video_pretrain'))[1]['unet/conv_in/kernel']
  assert (kernel.shape[2], before.shape[2]) == (16, 8)
  np.testing.assert_array_equal(kernel[:, :, :8], before)
  assert (kernel[:, :, 8:] == 0).all()


def test_of_several_folders_the_first_one_wins(workdir_of):
  image, video = (workdir_of(n) for n in ('image_pretrain', 'video_pretrain'))
  name = 'unet/conv_in/kernel'
  for first, second in ((image, video), (video, image)):
    np.testing.assert_array_equal(handoff.read(f'{first},{second}')[name],
                                  checkpoint.load(first)[1][name])


@pytest.mark.parametrize('stage, sources, named', [
    ('i2v_14f,base', ['autoencoder', 'clip'], 'unet/.* is missing'),
    ('video_pretrain,low', ['video_pretrain', 'clip'], None),
    ('i2v_14f', ['video_pretrain', 'clip'], 'unet/conv_in/kernel has shape .*8.* where .*16'),
    ('image_discrete', ['autoencoder'], 'clip_text/.* is missing'),
    ('image_pretrain', ['video_pretrain'], 'has no place here')])
def test_the_wrong_stage_is_refused_in_one_sentence(nano, workdir_of, stage, sources, named):
  if named is None:  # a video model may start another one: every name and shape agrees
    assert start(nano(stage), *map(workdir_of, sources))
    return
  with pytest.raises(BadInput, match=f'init_from .* is not a checkpoint .*{named}') as refusal:
    start(nano(stage), *map(workdir_of, sources))
  assert '\n' not in str(refusal.value)


def test_numbers_that_no_shape_shows_must_agree(nano, workdir_of, tmp_path):
  config = nano('video_pretrain,low', {'init_from': str(workdir_of('image_pretrain'))})
  config.model.unet.groups *= 2
  with pytest.raises(BadInput, match=r'unet.groups \d+ and this experiment has \d+'):
    handoff.adopt(config, tmp_path)


@pytest.mark.parametrize('stage, source, theirs', [
    ('image_pretrain', 'image_discrete', 'v_discrete'),  # names and shapes agree
    ('video_pretrain,low', 'image_discrete', 'v_discrete'),
    ('image_pretrain,adapt', 'image_pretrain', 'edm_v')])
def test_a_model_of_another_denoiser_is_refused(
    nano, workdir_of, tmp_path, stage, source, theirs):
  config = nano(stage, {'init_from': str(workdir_of(source))})
  with pytest.raises(BadInput, match=f'init_from .* is a denoiser of precondition {theirs}'):
    handoff.adopt(config, tmp_path)
  config.handoff.precondition = theirs  # as the sentence says
  handoff.adopt(config, tmp_path)


@pytest.mark.parametrize('stage, sources', [
    ('image_pretrain,adapt', ['image_discrete']), ('image_discrete', ['autoencoder', 'clip']),
    ('video_pretrain,low', ['image_pretrain']), ('i2v_14f,base', ['video_pretrain', 'clip'])])
def test_the_denoiser_of_the_stage_before_is_taken_as_it_is(nano, workdir_of, tmp_path, stage, sources):
  config = nano(stage, {'init_from': ','.join(str(workdir_of(s)) for s in sources)})
  before = config.diffusion.to_dict(), config.handoff.to_dict()
  handoff.adopt(config, tmp_path)
  assert (config.diffusion.to_dict(), config.handoff.to_dict()) == before


def test_a_folder_that_is_no_workdir_is_refused(nano, tmp_path):
  with pytest.raises(BadInput, match='init_from: .*is not a workdir'):
    start(nano('image_discrete'), tmp_path)


def test_a_new_run_needs_its_sources_and_a_resumed_one_does_not(nano, tmp_path):
  config = nano('i2v_14f,base')
  with pytest.raises(BadInput, match='init_from is not set: .*video_pretrain'):
    handoff.require_sources(config, tmp_path)
  (tmp_path / 'checkpoints').mkdir()
  handoff.require_sources(config, tmp_path)
  handoff.require_sources(nano('autoencoder'), tmp_path / 'new')


def test_the_scale_of_latents_is_measured_once(nano, workdir_of, tmp_path):
  config = nano('image_discrete')
  parts = parts_lib.build(config.model)
  batch = pipeline.eval_batch(pipeline.Clips(config.data, 'train', 0), 8)
  config.init_from = f'{workdir_of("autoencoder")},{workdir_of("clip")}'
  measured = handoff.latent_scale(config, parts, tmp_path, batch)
  assert 0 < measured < np.inf and measured != 1
  config.init_from = f'{workdir_of("autoencoder")},{workdir_of("video_pretrain")}'
  assert handoff.latent_scale(config, parts, tmp_path, batch) == 1  # what that stage has
  config.model.vae.scale = 0.18215
  assert handoff.latent_scale(config, parts, tmp_path, batch) == 0.18215


def test_a_wrong_stage_is_refused_before_the_scale_is_measured(nano, workdir_of, tmp_path):
  config = nano('video_pretrain', {'init_from': str(workdir_of('autoencoder'))})
  with pytest.raises(BadInput, match='is missing'):
    handoff.latent_scale(config, parts_lib.build(config.model), tmp_path, None)


def test_a_scale_needs_an_autoencoder(nano, workdir_of, tmp_path):
  config = nano('image_discrete', {'init_from': str(workdir_of('clip'))})
  with pytest.raises(BadInput, match='brings no autoencoder'):
    handoff.latent_scale(config, parts_lib.build(config.model), tmp_path, None)
