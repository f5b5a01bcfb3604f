"""Networks, sampler and the whole pipeline against diffusers, on random weights in fp32.

Every tensor is random, norms, biases and mix factors too. Tolerances: fp32 sums in another order
differ by some 1e-6 of outputs of size 1 for each of these depths.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

torch = pytest.importorskip('torch')
diffusers = pytest.importorskip('diffusers')

from svdjax import checkpoint, generate
from svdjax.convert import from_diffusers, to_diffusers
from svdjax.core.rng import fold_name, key_of
from svdjax.diffusion import precondition, sampler, sigmas
from svdjax.models import clip, clip_resize, unet, vae
from svdjax.tasks import parts as parts_lib
from svdjax.tasks.conditioning import embed_scalars

pytestmark = pytest.mark.usefixtures('compiled')
SHAPES = {'A': (5, 16, 24), 'A64': (3, 8, 16), 'B': (3, 16, 8), 'C': (5, 6, 10),
          'uneven heads': (7, 4, 12), 'attention everywhere': (1, 10, 6)}


@pytest.fixture(scope='module')
def reference():
  """The module make_reference.py."""
  path = pathlib.Path(__file__).with_name('make_reference.py')
  spec = importlib.util.spec_from_file_location('make_reference', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def close(got, want, atol):
  np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=atol)


@pytest.mark.parametrize('name', SHAPES)
def test_unet(world, reference, name):
  sizes = world.UNETS[name]
  x, c_noise, context, scalars = inputs = world.unet_inputs(sizes, *SHAPES[name])
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  vector = embed_scalars(tuple(values), sizes['vector_dim'], values)
  got = jax.jit(unet.build(unet.UNetConfig(**sizes)).apply)(
      world.params('unet', sizes), x, c_noise, context, vector)
  want = reference.unet(world, sizes, inputs)
  assert want.std() > 0.1
  close(got, want, 5e-5)


@pytest.mark.parametrize('name', ['A', 'B'])
def test_autoencoder(world, reference, name):
  sizes = world.VAES[name]
  theirs, params = reference.model(world, 'vae', sizes), world.params('vae', sizes)
  apply = jax.jit(vae.build(vae.VAEConfig(**sizes)).apply, static_argnums=2)
  images = np.tanh(world.draw('images', (2, 40, 24, 3)) * 8)
  for got, want in zip(apply(params, images, 'encode'), reference.encode(theirs, images)):
    close(got, want, 5e-5)
  latents = world.draw('latents', (5, 4, 6, 4)) * 5
  for chunk in (1, 2, 3, 5):
    close(vae.decode(apply, params, latents[None], chunk)[0],
          reference.decode(theirs, latents, chunk), 5e-5)


def test_image_autoencoder(world, reference):
  sizes = world.VAES['image']
  theirs, params = reference.model(world, 'vae', sizes), world.params('vae', sizes)
  apply = vae.build(vae.VAEConfig(**sizes)).apply
  latents = world.draw('latents', (2, 4, 6, 4)) * 5
  with torch.no_grad():
    want = reference.channels_last(theirs.decode(reference.channels_first(latents)).sample)
  close(apply(params, latents[None], 'decode')[0], want, 5e-5)


def test_image_encoder(world, reference):
  sizes = world.CLIPS['parity']
  images = world.draw('pixels', (3, 56, 56, 3)) * 12
  got = clip.build_image(clip.ImageConfig(**sizes)).apply(
      world.params('clip_image', sizes), jnp.asarray(images))
  close(got, reference.embed(reference.model(world, 'clip_image', sizes), images), 1e-5)


@pytest.mark.parametrize('height, width', [(576, 1024), (128, 160), (200, 300)])
def test_image_preprocessing(world, reference, height, width):
  photo = np.tanh(world.draw('photo', (1, height, width, 3)) * 100)
  mean, std = np.asarray(clip_resize.MEAN), np.asarray(clip_resize.STD)
  want = ((reference.resize(photo, 224) + 1) / 2 - mean) / std
  close(clip_resize.preprocess(photo, 224), want, 1e-4)


@pytest.mark.parametrize('steps', [25, 30])
def test_sampler(world, reference, steps):
  """1e-4 of the largest value: the first steps cancel numbers near 700 in fp32."""
  def network(x, c_noise):
    level = c_noise[:, None, None, None, None]
    return jnp.sin(3 * x) * jnp.cos(level) - 0.3 * x

  noise, grid = world.draw('noise', (1, 3, 4, 6, 4)) * 10, sigmas.karras(steps)
  denoise = lambda x, s: precondition.denoise(network, precondition.edm_v, x, s)
  got = np.asarray(jax.jit(lambda x: sampler.euler(denoise, x, grid))(
      noise * np.sqrt(1 + grid[0] ** 2)))
  want = reference.sample(reference.toy_v, noise, steps)
  assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def psnr(a, b):
  return 10 * np.log10(255 ** 2 / np.mean((a.astype(np.float64) - b) ** 2))


def test_the_whole_pipeline(world, reference, folder, converted, monkeypatch):
  """25 steps, guidance 1 to 3, decoded in chunks; both sides take the noise that JAX draws."""
  pipeline = diffusers.StableVideoDiffusionPipeline(
      vae=reference.model(world, 'vae', world.VIDEO['vae']),
      image_encoder=reference.model(world, 'clip_image', world.VIDEO['clip_image']),
      unet=reference.model(world, 'unet', world.VIDEO['unet']),
      scheduler=reference.scheduler({'sigma_min': 0.002, 'sigma_max': 700.}),
      feature_extractor=reference.transformers.CLIPImageProcessor(crop_size=224, size=224))
  pipeline.set_progress_bar_config(disable=True)
  config, params, _ = checkpoint.load(converted)
  chosen = generate.settings(config, frames=3, height=32, width=48, steps=25, guidance_min=1.,
                             guidance_max=3., decode_chunk=2)
  generator = generate.build(config, parts_lib.build(config.model), chosen)
  smooth = np.cumsum(np.cumsum(world.draw('picture', (32, 48, 3)), 0), 1)
  photo = np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))
  inputs = {'image': photo[None] / np.float32(127.5) - 1, 'fps': np.float32([6.]),
            'motion': np.float32([90.]), 'cond_aug': np.float32([0.05])}
  key = key_of(3, 'sample')
  got = np.asarray(generate.run(generator, params, inputs, key))[0]

  on_image = jax.random.normal(fold_name(key, 'image_noise'), (1, 32, 48, 3))
  monkeypatch.setattr(reference.pipeline_stable_video_diffusion, 'randn_tensor',
                      lambda *_, **__: reference.channels_first(np.array(on_image)))
  start = jax.random.normal(fold_name(key, 'noise'), (1, *generator.shape))
  frames = pipeline(
      Image.fromarray(photo), height=32, width=48, num_frames=3, num_inference_steps=25,
      min_guidance_scale=1., max_guidance_scale=3., fps=7, motion_bucket_id=90,
      noise_aug_strength=0.05, decode_chunk_size=2,
      latents=reference.channels_first(np.array(start)), output_type='np').frames[0]
  want = np.round(frames * 255)
  assert got.std() > 20 and psnr(got[1:], got[:-1]) < 30  # neither flat nor still
  assert psnr(got, want) > 50


def test_an_exported_folder_loads_as_a_pipeline(world, reference, converted, tmp_path):
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


def test_the_card_of_a_smaller_image_encoder_runs(world, reference, tmp_path, monkeypatch):
  """As of scale tiny: the card's code as it stands, with a plain decoder."""
  sizes = world.VIDEO | {'vae': world.VAES['image'] | dict(post_quant=False),
                         'clip_image': world.CLIPS['image'] | dict(patch=12, size=48)}
  from_diffusers.convert(world.write_folder(tmp_path / 'in', sizes), tmp_path / 'jax')
  config = checkpoint.load_config(tmp_path / 'jax').to_dict()
  config['data'] |= dict(height=32, width=48)
  config['sample'] |= dict(steps=2)
  (tmp_path / 'jax' / 'config.json').write_text(json.dumps(config))
  to_diffusers.convert(tmp_path / 'jax', tmp_path / 'out')
  svd = reference.pipeline_stable_video_diffusion
  monkeypatch.setattr(svd, '_resize_with_antialiasing', svd._resize_with_antialiasing)
  code = (tmp_path / 'out' / 'README.md').read_text().split('```')[1].removeprefix('python')
  found = dict(FOLDER=tmp_path / 'out', image=Image.new('RGB', (60, 40), 'red'))
  exec(code, found)
  assert len(found['frames']) == 3 and found['frames'][0].size == (48, 32)


def test_an_exported_text_to_video_unet(world, reference, tmp_path):
  """A video UNet that attends to several tokens has no pipeline in diffusers, and runs there."""
  from_diffusers.convert(world.write_folder(tmp_path / 'in', world.TEXT_VIDEO), tmp_path / 'jax')
  to_diffusers.convert(tmp_path / 'jax', tmp_path / 'out')
  theirs = diffusers.UNetSpatioTemporalConditionModel.from_pretrained(
      tmp_path / 'out', subfolder='unet')
  reference.transformers.CLIPTextModel.from_pretrained(tmp_path / 'out' / 'text_encoder')
  config, params, _ = checkpoint.load(tmp_path / 'jax')
  x, c_noise, _, scalars = world.unet_inputs(config.model.unet, 5, 6, 10)
  context = world.draw('captions', (2, 9, config.model.unet.context_dim)) * 15
  with torch.no_grad():
    want = reference.channels_last(theirs(reference.channels_first(x), *map(
        torch.from_numpy, (c_noise, context, scalars))).sample)
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  network = parts_lib.build({'unet': config.model.unet}).bind('unet', params)
  got = jax.jit(network)(x, c_noise, context, embed_scalars(
      tuple(values), config.model.unet.vector_dim, values))
  assert want.std() > 0.1
  close(got, want, 5e-5)


def test_a_folder_that_diffusers_saved_converts(world, reference, converted, tmp_path):
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


def test_the_full_size_check_runs_at_a_small_size():
  script = pathlib.Path(__file__).with_name('full_size.py')
  done = subprocess.run([sys.executable, script, '--size', 'small', '--frames', '3'],
                        capture_output=True, text=True, check=False,
                        env=os.environ | {'PYTHONPATH': str(script.parents[2])})
  assert done.returncode == 0, done.stderr
  told = json.loads(done.stdout)
  assert told['max_difference'] < 5e-5 and told['output_std'] > 0.1
