"""Networks, sampler and the whole pipeline against diffusers, on random weights in fp32.

Every tensor is random, norms, biases and mix factors too. Tolerances: fp32 sums in another order
differ by some 1e-6 of outputs of size 1 for each of these depths.
"""

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
from svdjax.core.rng import fold_name, key_of
from svdjax.diffusion import precondition, sampler, sigmas
from svdjax.inputs import image
from svdjax.models import clip, clip_resize, unet, vae
from svdjax.tasks import parts as parts_lib
from svdjax.tasks.conditioning import embed_scalars, image_tokens

pytestmark = pytest.mark.usefixtures('compiled')
SHAPES = {'A': (5, 16, 24), 'A64': (3, 8, 16), 'B': (3, 16, 8), 'C': (5, 6, 10),
          'uneven heads': (7, 4, 12), 'attention everywhere': (1, 10, 6)}


def assert_close(got, want, atol):
  np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=atol)


@pytest.mark.parametrize('name', SHAPES)
def test_unet(world, parity, name):
  sizes = world.UNETS[name]
  x, c_noise, context, scalars = inputs = world.unet_inputs(sizes, *SHAPES[name])
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  vector = embed_scalars(tuple(values), sizes['vector_dim'], values)
  got = jax.jit(unet.build(unet.UNetConfig(**sizes)).apply)(
      world.params('unet', sizes), x, c_noise, context, vector)
  want = parity.unet(world, sizes, inputs)
  assert want.std() > 0.1
  assert_close(got, want, 5e-5)


@pytest.mark.parametrize('name, fixture', [('A', 'compiled'), ('B', 'optimized')])
def test_autoencoder(world, parity, name, fixture, request):
  request.getfixturevalue(fixture)
  sizes = world.VAES[name]
  theirs, params = parity.model(world, 'vae', sizes), world.params('vae', sizes)
  apply = jax.jit(vae.build(vae.VAEConfig(**sizes)).apply, static_argnums=2)
  images = np.tanh(world.draw('images', (2, 40, 24, 3)) * 8)
  for got, want in zip(apply(params, images, 'encode'), parity.encode(theirs, images)):
    assert_close(got, want, 5e-5)
  latents = world.draw('latents', (5, 4, 6, 4)) * 5
  for chunk in (1, 2, 3, 5):
    assert_close(vae.decode(apply, params, latents[None], chunk)[0],
                 parity.decode(theirs, latents, chunk), 5e-5)


def test_image_autoencoder(world, parity):
  sizes = world.VAES['image']
  theirs, params = parity.model(world, 'vae', sizes), world.params('vae', sizes)
  apply = vae.build(vae.VAEConfig(**sizes)).apply
  latents = world.draw('latents', (2, 4, 6, 4)) * 5
  with torch.no_grad():
    want = parity.channels_last(theirs.decode(parity.channels_first(latents)).sample)
  assert_close(apply(params, latents[None], 'decode')[0], want, 5e-5)
  images = np.tanh(world.draw('images', (2, 20, 12, 3)) * 8)
  for got, moment in zip(apply(params, images, 'encode'), parity.encode(theirs, images)):
    assert_close(got, moment, 5e-5)


def test_image_unet(world):
  """That of Stable Diffusion 2.1, on clips of one frame."""
  sizes = world.IMAGE['unet']
  theirs = diffusers.UNet2DConditionModel(
      in_channels=4, out_channels=4, block_out_channels=sizes['channels'],
      down_block_types=('CrossAttnDownBlock2D', 'DownBlock2D'),
      up_block_types=('UpBlock2D', 'CrossAttnUpBlock2D'), layers_per_block=sizes['blocks'],
      attention_head_dim=[c // sizes['head_dim'] for c in sizes['channels']],
      cross_attention_dim=sizes['context_dim'], use_linear_projection=True).eval()
  for name, parameter in theirs.named_parameters():
    parameter.data = torch.from_numpy(world.draw(name, tuple(parameter.shape)))
  x, c_noise, _, _ = world.unet_inputs(sizes, 1)
  c_noise, context = np.float32([3., 871.]), world.draw('captions', (2, 7, 32)) * 15
  with torch.no_grad():
    want = theirs(torch.from_numpy(np.moveaxis(x[:, 0], -1, 1).copy()),
                  torch.from_numpy(c_noise), torch.from_numpy(context)).sample
  got = jax.jit(unet.build(unet.UNetConfig(**sizes)).apply)(
      world.params('unet', sizes), x, c_noise, context)
  assert want.std() > 0.1
  assert_close(np.moveaxis(got[:, 0], -1, 1), want.numpy(), 5e-5)


def test_image_encoder(world, parity):
  sizes = world.CLIPS['parity']
  images = world.draw('pixels', (3, 56, 56, 3)) * 12
  got = clip.build_image(clip.ImageConfig(**sizes)).apply(
      world.params('clip_image', sizes), jnp.asarray(images))
  assert_close(got, parity.embed(parity.model(world, 'clip_image', sizes), images), 1e-5)


@pytest.mark.parametrize('height, width', [(576, 1024), (128, 160), (200, 300)])
def test_image_preprocessing(world, parity, height, width):
  photo = np.tanh(world.draw('photo', (1, height, width, 3)) * 100)
  mean, std = np.asarray(clip_resize.MEAN), np.asarray(clip_resize.STD)
  want = ((parity.resize(photo, 224) + 1) / 2 - mean) / std
  assert_close(clip_resize.preprocess(photo, 224), want, 1e-4)


@pytest.mark.parametrize('steps', [25, 30])
def test_sampler(world, parity, steps):
  """1e-4 of the largest value: the first steps cancel numbers near 700 in fp32."""
  def network(x, c_noise):
    level = c_noise[:, None, None, None, None]
    return jnp.sin(3 * x) * jnp.cos(level) - 0.3 * x

  noise, grid = world.draw('noise', (1, 3, 4, 6, 4)) * 10, sigmas.karras(steps)
  denoise = lambda x, s: precondition.denoise(network, precondition.edm_v, x, s)
  got = np.asarray(jax.jit(lambda x: sampler.euler(denoise, x, grid))(
      noise * np.sqrt(1 + grid[0] ** 2)))
  want = parity.sample(parity.toy_v, noise, steps)
  assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def psnr(a, b):
  return 10 * np.log10(255 ** 2 / np.mean((a.astype(np.float64) - b) ** 2))


@pytest.fixture(scope='module')
def pipeline(world, parity):
  """That of diffusers with the weights of `converted`."""
  made = diffusers.StableVideoDiffusionPipeline(
      vae=parity.model(world, 'vae', world.VIDEO['vae']),
      image_encoder=parity.model(world, 'clip_image', world.VIDEO['clip_image']),
      unet=parity.model(world, 'unet', world.VIDEO['unet']),
      scheduler=parity.scheduler({'sigma_min': 0.002, 'sigma_max': 700.}),
      feature_extractor=parity.transformers.CLIPImageProcessor(crop_size=224, size=224))
  made.set_progress_bar_config(disable=True)
  return made


def test_a_picture_of_another_aspect_is_cropped(pipeline, converted):
  """CLIP sees what diffusers' sees of the crop; of the whole picture that is something else."""
  rng = np.random.default_rng(0)
  photo = np.repeat(rng.integers(0, 255, (40, 9, 3), np.uint8), 10, axis=1)
  fitted = image.fit_image(photo, 32, 48)
  config, params, _ = checkpoint.load(converted)
  got = image_tokens(parts_lib.build(config.model), params, jnp.asarray(fitted[None]))[0, 0]
  crop, whole = (pipeline._encode_image(Image.fromarray(x), 'cpu', 1, False)[0, 0].detach().numpy()
                 for x in (np.uint8(np.round((fitted + 1) * 127.5)), photo))
  assert_close(got, crop, 1e-4)
  assert np.abs(got - whole).max() > 1e-2


def test_the_whole_pipeline(world, parity, pipeline, converted, monkeypatch):
  """25 steps, guidance 1 to 3, decoded in chunks; both sides take the noise that JAX draws."""
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
  monkeypatch.setattr(parity.pipeline_stable_video_diffusion, 'randn_tensor',
                      lambda *_, **__: parity.channels_first(np.array(on_image)))
  start = jax.random.normal(fold_name(key, 'noise'), (1, *generator.shape))
  frames = pipeline(
      Image.fromarray(photo), height=32, width=48, num_frames=3, num_inference_steps=25,
      min_guidance_scale=1., max_guidance_scale=3., fps=7, motion_bucket_id=90,
      noise_aug_strength=0.05, decode_chunk_size=2,
      latents=parity.channels_first(np.array(start)), output_type='np').frames[0]
  want = np.round(frames * 255)
  assert got.std() > 20 and psnr(got[1:], got[:-1]) < 30  # neither flat nor still
  assert psnr(got, want) > 50


def test_the_full_size_check_runs_at_a_small_size():
  """Compiled as users do."""
  script = pathlib.Path(__file__).with_name('full_size.py')
  done = subprocess.run([sys.executable, script, '--size', 'small', '--frames', '3'],
                        capture_output=True, text=True, check=False,
                        env=os.environ | {'PYTHONPATH': str(script.parents[2]),
                                          'JAX_DISABLE_MOST_OPTIMIZATIONS': '0'})
  assert done.returncode == 0, done.stderr
  told = json.loads(done.stdout)
  assert told['max_difference'] < 5e-5 and told['output_std'] > 0.1
