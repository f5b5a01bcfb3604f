"""What converted checkpoints are for: sampling from them and going on training them."""

import json

import ml_dtypes
import numpy as np
from PIL import Image
import pytest
from safetensors import numpy as st

from svdjax import checkpoint, handoff, sample, sampling
from svdjax.convert import from_diffusers, from_sgm, to_diffusers, to_sgm
from svdjax.core.errors import BadInput
from svdjax.inputs import export, video
from svdjax.tasks import parts as parts_lib

pytestmark = pytest.mark.usefixtures('compiled')


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
  path = tmp_path_factory.mktemp('photo') / 'photo.png'
  Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(path)
  return path


@pytest.fixture(scope='module')
def checkpoint_of(world, tmp_path_factory):
  """checkpoint_of(model, scheduler=None) -> (diffusers folder, converted checkpoint)."""
  def make(model, scheduler=None, **options):
    path = tmp_path_factory.mktemp('model')
    world.write_folder(path / 'folder', model, scheduler)
    from_diffusers.convert(path / 'folder', path / 'out', **options)
    return path / 'folder', path / 'out'
  return make


def run(path, out, *arguments):
  sample.main(['--checkpoint', str(path), '--out', str(out), '--height', '16', '--width', '16',
               '--steps', '2', *map(str, arguments)])
  return video.decode(out), json.loads(export.read_metadata(out)['comment'])


def test_a_video_from_a_converted_checkpoint(converted, photo, tmp_path):
  frames, told = run(converted, tmp_path / 'x.mp4', '--image', photo)
  assert frames.shape == (3, 16, 16, 3) and frames.std() > 0
  assert (told['fps'], told['motion'], round(told['cond_aug'], 4)) == (7., 127., 0.02)
  assert (told['guidance_min'], told['guidance_max'], told['step']) == (1., 2.5, 0)


def test_a_preset_sets_what_the_command_line_does_not(converted):
  config = checkpoint.load_config(converted)
  args = sample.arguments(['--checkpoint', 'c', '--out', 'o', '--preset', 'svd_xt_1_1',
                           '--frames', '5'])
  chosen = sampling.settings_of(args, config, ())
  assert (chosen.frames, chosen.height, chosen.width, chosen.steps) == (5, 576, 1024, 30)
  assert (chosen.guidance, chosen.guidance_min, chosen.guidance_max) == ('linear', 1.5, 3.)


def test_a_preset_of_another_kind_of_model_is_refused(converted, photo, tmp_path):
  with pytest.raises(BadInput, match='--preset sv3d_p is of .* told cond_aug, polar, azimuth; '):
    run(converted, tmp_path / 'x.mp4', '--image', photo, '--preset', 'sv3d_p')


@pytest.mark.parametrize('kind, scalars', [('sv3d_u', 1), ('sv3d_p', 5)])
def test_orbits(world, checkpoint_of, photo, tmp_path, kind, scalars):
  """Told by the width of the vector; the last view is the picture; the single file round trip."""
  model = world.VIDEO | {'vae': world.VAES['image'] | dict(post_quant=False),
                         'unet': world.UNETS['C'] | dict(vector_dim=32 * scalars)}
  _, path = checkpoint_of(model)
  config, params, _ = checkpoint.load(path)
  assert (config.preset, config.sample.guidance, config.sample.steps) == (kind, 'triangle', 50)
  frames, told = run(path, tmp_path / 'x.mp4', '--image', photo, '--gif')
  picture = np.asarray(Image.open(photo).convert('RGB')).mean((0, 1))
  assert np.abs(frames[-1].mean((0, 1)) - picture).max() < 12 and round(told['cond_aug'], 6) == 1e-5
  if kind == 'sv3d_p':
    other, _ = run(path, tmp_path / 'y.mp4', '--image', photo, '--elevation', 60)
    assert (other[:-1] != frames[:-1]).any()
  to_sgm.convert(path, tmp_path / 'f.safetensors')
  names = st.load_file(tmp_path / 'f.safetensors')
  assert 'conditioner.embedders.1.encoder.quant_conv.weight' in names
  assert not any(n.startswith('first_stage_model.encoder') for n in names)
  from_sgm.convert(tmp_path / 'f.safetensors', tmp_path / 'back')
  again = checkpoint.load(tmp_path / 'back')
  for name, x in params.items():
    np.testing.assert_array_equal(again[1][name], x)
  assert again[0].conditioning.to_dict() == config.conditioning.to_dict()
  to_diffusers.convert(path, tmp_path / 'parts')
  assert not (tmp_path / 'parts' / 'model_index.json').exists()
  from_diffusers.convert(tmp_path / 'parts', tmp_path / 'again')
  assert checkpoint.load_config(tmp_path / 'again').to_dict() == config.to_dict()


def test_posed_multi_view_models_go_out_as_components_and_back(
    world, checkpoint_of, photo, tmp_path):
  """Told the elevation beside what video models are told, as no released one is."""
  model = world.VIDEO | {'unet': world.UNETS['C'] | dict(vector_dim=4 * 32)}
  folder, path = checkpoint_of(model)
  config, params, _ = checkpoint.load(path)
  assert tuple(config.conditioning.scalars) == ('fps', 'motion', 'cond_aug', 'elevation')
  assert (config.data.height, config.data.width, config.preset) == (96, 96, '')
  frames, _ = run(path, tmp_path / 'x.mp4', '--image', photo, '--elevation', 10)
  other, _ = run(path, tmp_path / 'y.mp4', '--image', photo, '--elevation', 60)
  assert (frames != other).any()
  to_diffusers.convert(path, tmp_path / 'parts')
  from_diffusers.convert(tmp_path / 'parts', tmp_path / 'again')
  again = checkpoint.load(tmp_path / 'again')
  assert again[0].to_dict() == config.to_dict()
  for name, x in params.items():
    np.testing.assert_array_equal(again[1][name], x)
  with pytest.raises(BadInput, match='--preset svd is of a released model, and this one is told'):
    from_diffusers.convert(folder, tmp_path / 'none', preset='svd')


V_PREDICTION = {'prediction_type': 'v_prediction', 'beta_schedule': 'scaled_linear'}


@pytest.fixture(scope='module')
def image_model(world, checkpoint_of):
  return checkpoint_of(world.IMAGE, V_PREDICTION)[1]


def test_an_image_model_samples_an_image(image_model, tmp_path):
  config = checkpoint.load_config(image_model)
  assert (config.diffusion.precondition, config.diffusion.sigma) == ('v_discrete', 'discrete')
  frames, _ = run(image_model, tmp_path / 'x.mp4', '--prompt', 'a red circle')
  assert frames.shape == (1, 16, 16, 3)


def test_an_image_model_that_predicts_noise(world, checkpoint_of):
  path = checkpoint_of(world.IMAGE, {'prediction_type': 'epsilon'})[1]
  assert checkpoint.load_config(path).diffusion.precondition == 'eps'


def test_older_spellings_land_in_the_same_places(world, image_model, tmp_path):
  """SD 2.1's autoencoder says query, newer transformers leave out text_model., with buffers."""
  folder = world.write_folder(tmp_path / 'old', world.IMAGE, V_PREDICTION)
  old = (('to_q', 'query'), ('to_k', 'key'), ('to_v', 'value'), ('to_out.0', 'proj_attn'))
  for name, change in (('vae/diffusion_pytorch_model', lambda n: next(
      (n.replace(a, b) for a, b in old if a in n), n)),
                       ('text_encoder/model', lambda n: n.removeprefix('text_model.'))):
    file = folder / f'{name}.safetensors'
    tensors = {change(n): x for n, x in st.load_file(file).items()}
    if 'text' in name:
      tensors['embeddings.position_ids'] = np.arange(9)
    st.save_file(tensors, file)
  from_diffusers.convert(folder, tmp_path / 'out')
  again = checkpoint.load(tmp_path / 'out')[1]
  for name, x in checkpoint.load(image_model)[1].items():
    np.testing.assert_array_equal(again[name], x)


def test_text_to_video_goes_out_as_components_and_back(world, checkpoint_of, tmp_path):
  _, path = checkpoint_of(world.TEXT_VIDEO)
  to_diffusers.convert(path, tmp_path / 'out')
  assert not (tmp_path / 'out' / 'model_index.json').exists()
  unet = json.loads((tmp_path / 'out' / 'unet' / 'config.json').read_text())
  assert unet['_class_name'] == 'UNetSpatioTemporalConditionModel'
  from_diffusers.convert(tmp_path / 'out', tmp_path / 'back')
  first, again = checkpoint.load(path), checkpoint.load(tmp_path / 'back')
  assert first[0].to_dict() == again[0].to_dict()
  for name, x in first[1].items():
    np.testing.assert_array_equal(again[1][name], x)
  frames, _ = run(path, tmp_path / 'x.mp4', '--prompt', 'a red circle')
  assert frames.shape == (3, 16, 16, 3)
  with pytest.raises(BadInput, match='is no image-to-video model'):
    to_sgm.convert(path, tmp_path / 'f.safetensors')


def stage(nano, name, path, unet):
  """The config of a stage that starts from a converted checkpoint, with its UNet's sizes.

  Its denoiser may be another: that is said.
  """
  config = nano(name, {'init_from': str(path)})
  config.handoff.precondition = checkpoint.load_config(path).diffusion.precondition
  config.model.unet.update(unet)
  return config


def test_image_to_video_goes_on_from_a_released_model(world, nano, converted, tmp_path):
  """The autoencoder and CLIP are those of the checkpoint, and parameters are fp32."""
  half = tmp_path / 'half'
  to_diffusers.convert(converted, tmp_path / 'folder', dtype='bfloat16')
  from_diffusers.convert(tmp_path / 'folder', half)
  config = stage(nano, 'i2v_14f', half, world.VIDEO['unet'])
  handoff.adopt(config, tmp_path)
  assert config.model.vae.temporal and config.model.vae.scale == 0.18215
  parts = parts_lib.build(config.model)
  params = handoff.start(config, parts).params
  for name, x in checkpoint.load(converted)[1].items():
    assert params[name].dtype == np.float32
    rounded = np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(params[name], rounded)


def test_video_pretraining_takes_an_image_model(world, nano, image_model, tmp_path):
  """Stage II inserts temporal layers into SD 2.1, all of whose tensors land."""
  config = stage(nano, 'video_pretrain,low', image_model, world.UNETS['C'] | dict(in_channels=4))
  handoff.adopt(config, tmp_path)
  params = handoff.start(config, parts_lib.build(config.model)).params
  for name, x in checkpoint.load(image_model)[1].items():
    np.testing.assert_array_equal(params[name], x)


def test_new_input_channels_of_an_image_model_are_zero(world, nano, image_model, tmp_path):
  config = stage(nano, 'video_pretrain,low', image_model, world.UNETS['C'])
  config.handoff.fresh = (*config.handoff.fresh, 'unet/conv_in/kernel')
  handoff.adopt(config, tmp_path)
  params = handoff.start(config, parts_lib.build(config.model)).params
  kernel = params['unet/conv_in/kernel']
  assert kernel.shape[2] == 8 and (kernel[:, :, 4:] == 0).all() and (kernel[:, :, :4] != 0).any()


def test_an_autoencoder_that_does_not_fit_is_refused(nano, converted, tmp_path):
  config = nano('i2v_14f', {'init_from': str(converted)})
  with pytest.raises(BadInput, match='brings an autoencoder of 4 latent channels and the UNet has '
                                     '8'):
    handoff.adopt(config, tmp_path)
