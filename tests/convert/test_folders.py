"""Folders that svdjax writes, loaded by diffusers, and those of diffusers, loaded here."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')

from svdjax import checkpoint
from svdjax.convert import from_diffusers, recipe, to_diffusers
from svdjax.core import weights
from svdjax.models import clip_resize
from svdjax.tasks import parts as parts_lib
from svdjax.tasks.conditioning import embed_scalars

pytestmark = pytest.mark.usefixtures('compiled')


def test_an_exported_folder_loads_as_a_pipeline(world, parity, converted, tmp_path):
  to_diffusers.convert(converted, tmp_path / 'out')
  pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(tmp_path / 'out')
  for name, network in (('unet', 'unet'), ('vae', 'vae'), ('image_encoder', 'clip_image')):
    theirs = getattr(pipeline, name).state_dict()
    shapes = world.mapping(network, world.VIDEO[network]).theirs
    assert theirs.keys() == shapes.keys()
    for tensor, shape in shapes.items():
      np.testing.assert_array_equal(theirs[tensor].numpy(), world.draw(tensor, shape))
  assert pipeline.scheduler.config.timestep_type == 'continuous'
  assert tuple(pipeline.feature_extractor.image_mean) == clip_resize.MEAN


def test_the_card_of_a_smaller_image_encoder_runs(world, parity, tmp_path, monkeypatch):
  """As of scale tiny: the card's code as it stands, with a plain decoder."""
  sizes = world.VIDEO | {'vae': world.VAES['image'] | dict(post_quant=False),
                         'clip_image': world.CLIPS['image'] | dict(patch=12, size=48)}
  from_diffusers.convert(world.write_folder(tmp_path / 'in', sizes), tmp_path / 'jax')
  config = checkpoint.load_config(tmp_path / 'jax').to_dict()
  config['data'] |= dict(height=32, width=48)
  config['sample'] |= dict(steps=2)
  (tmp_path / 'jax' / 'config.json').write_text(json.dumps(config))
  to_diffusers.convert(tmp_path / 'jax', tmp_path / 'out')
  svd = parity.pipeline_stable_video_diffusion
  monkeypatch.setattr(svd, '_resize_with_antialiasing', svd._resize_with_antialiasing)
  code = (tmp_path / 'out' / 'README.md').read_text().split('```')[1].removeprefix('python')
  found = dict(FOLDER=tmp_path / 'out', image=Image.new('RGB', (60, 40), 'red'))
  exec(code, found)
  assert len(found['frames']) == 3 and found['frames'][0].size == (48, 32)


def test_a_temporal_decoder_of_scale_tiny_decodes_the_same(world, parity, tmp_path):
  """Two ResBlocks in the middle and one a level: exported with a second one that does nothing."""
  sizes = world.VIDEO | {'vae': world.VIDEO['vae'] | dict(blocks=1)}
  path = tmp_path / 'tiny'
  (path / 'params').mkdir(parents=True)
  for name, fields in sizes.items():
    arrays = {f'{name}/{n}': x for n, x in world.params(name, fields).items()}
    specs = {n: weights.Spec(x.shape, x.dtype) for n, x in arrays.items()}
    weights.write(checkpoint.converted_file(path, name), specs, arrays.items())
  config = recipe.config('image-to-video', sizes, np.dtype(np.float32), 'svd')
  (path / 'config.json').write_text(json.dumps(config.to_dict()))
  to_diffusers.convert(path, tmp_path / 'out')
  theirs = diffusers.AutoencoderKLTemporalDecoder.from_pretrained(tmp_path / 'out', subfolder='vae')
  latents, images = world.draw('latents', (3, 4, 6, 4)) * 5, world.draw('images', (1, 8, 12, 3)) * 8
  want = parity.decode(theirs, latents, 3)
  moments = parity.encode(theirs, images)
  from_diffusers.convert(tmp_path / 'out', tmp_path / 'back')
  for each in (path, tmp_path / 'back'):
    config, params, _ = checkpoint.load(each)
    network = parts_lib.build({'vae': config.model.vae}).bind('vae', params)
    got = jax.jit(network, static_argnums=1)(latents[None], 'decode')[0]
    np.testing.assert_allclose(got, want, rtol=0, atol=5e-5)
    for moment, other in zip(network(images, 'encode'), moments):
      np.testing.assert_allclose(moment, other, rtol=0, atol=5e-5)
  assert config.model.vae.blocks == 2 and want.std() > 0.1


def test_an_exported_text_to_video_unet(world, parity, tmp_path):
  """A video UNet that attends to several tokens has no pipeline in diffusers, and runs there."""
  from_diffusers.convert(world.write_folder(tmp_path / 'in', world.TEXT_VIDEO), tmp_path / 'jax')
  to_diffusers.convert(tmp_path / 'jax', tmp_path / 'out')
  theirs = diffusers.UNetSpatioTemporalConditionModel.from_pretrained(
      tmp_path / 'out', subfolder='unet')
  parity.transformers.CLIPTextModel.from_pretrained(tmp_path / 'out' / 'text_encoder')
  config, params, _ = checkpoint.load(tmp_path / 'jax')
  x, c_noise, _, scalars = world.unet_inputs(config.model.unet, 5, 6, 10)
  context = world.draw('captions', (2, 9, config.model.unet.context_dim)) * 15
  with torch.no_grad():
    want = parity.channels_last(theirs(parity.channels_first(x), *map(
        torch.from_numpy, (c_noise, context, scalars))).sample)
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  network = parts_lib.build({'unet': config.model.unet}).bind('unet', params)
  got = jax.jit(network)(x, c_noise, context, embed_scalars(
      tuple(values), config.model.unet.vector_dim, values))
  assert want.std() > 0.1
  np.testing.assert_allclose(got, want, rtol=0, atol=5e-5)


def test_a_folder_that_diffusers_saved_converts(world, parity, converted, tmp_path):
  """Its own config.json, names and file layout, in bfloat16 and split into shards."""
  pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(
      to_diffusers.convert(converted, tmp_path / 'out') or tmp_path / 'out',
      dtype=torch.bfloat16)
  pipeline.save_pretrained(tmp_path / 'saved', max_shard_size='2MB')
  assert len(list((tmp_path / 'saved' / 'unet').glob('*.safetensors'))) > 1
  from_diffusers.convert(tmp_path / 'saved', tmp_path / 'back')
  config, params, _ = checkpoint.load(tmp_path / 'back')
  assert config.model.to_dict() == world.VIDEO
  for name, x in checkpoint.load(converted)[1].items():
    np.testing.assert_array_equal(np.asarray(x.astype(jnp.bfloat16)), np.asarray(params[name]))
