"""Our networks against what PyTorch computed, without PyTorch: reference.npz.

Weights and inputs come from names (world.py). Tolerances are several times what fp32 sums in
another order give: outputs are of size 1.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.convert import to_diffusers
from svdjax.diffusion import precondition, sampler, sigmas
from svdjax.models import clip, clip_resize, unet, vae
from svdjax.tasks.conditioning import embed_scalars

pytestmark = pytest.mark.usefixtures('compiled')


@pytest.fixture(scope='module')
def reference():
  return np.load(pathlib.Path(__file__).with_name('reference.npz'))


def assert_close(got, want, atol):
  np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=atol)


def test_unet(world, reference):
  sizes = world.UNETS['C']
  x, c_noise, context, scalars = world.unet_inputs(sizes)
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  vector = embed_scalars(tuple(values), sizes['vector_dim'], values)
  got = jax.jit(unet.build(unet.UNetConfig(**sizes)).apply)(
      world.params('unet', sizes), x, c_noise, context, vector)
  assert_close(got, reference['unet'], 5e-5)


@pytest.fixture(scope='module')
def autoencoder(world):
  sizes = world.VIDEO['vae']
  return jax.jit(vae.build(vae.VAEConfig(**sizes)).apply, static_argnums=2), world.params(
      'vae', sizes)


def test_vae_encoder(world, reference, autoencoder):
  images = np.tanh(world.draw('images', (2, 16, 24, 3)) * 8)
  mean, log_variance = autoencoder[0](autoencoder[1], images, 'encode')
  assert_close(mean, reference['mean'], 5e-5)
  assert_close(log_variance, reference['log_variance'], 5e-5)


def test_temporal_decoder_in_chunks(world, reference, autoencoder):
  latents = world.draw('latents', (5, 4, 6, 4)) * 5
  assert_close(vae.decode(*autoencoder, latents[None], 3)[0], reference['decoded'], 5e-5)
  whole = vae.decode(*autoencoder, latents[None])[0]
  assert (np.abs(whole - reference['decoded']).max((1, 2, 3)) > 1e-2).all()  # no frame escapes


def test_image_encoder(world, reference):
  sizes = world.CLIPS['parity']
  images = world.draw('pixels', (2, 56, 56, 3)) * 12
  got = clip.build_image(clip.ImageConfig(**sizes)).apply(
      world.params('clip_image', sizes), jnp.asarray(images))
  assert_close(got, reference['embedding'], 1e-5)


def test_image_preprocessing(world, reference):
  photo = np.tanh(world.draw('photo', (1, 100, 70, 3)) * 8)
  mean, std = np.asarray(clip_resize.MEAN), np.asarray(clip_resize.STD)
  want = ((reference['resized'] + 1) / 2 - mean) / std
  assert_close(clip_resize.preprocess(photo, 56), want, 1e-4)


def test_sampler(world, reference):
  """25 steps with the grid, preconditioning and start of the released model."""
  def network(x, c_noise):
    level = c_noise[:, None, None, None, None]
    return jnp.sin(3 * x) * jnp.cos(level) - 0.3 * x

  noise = world.draw('noise', (1, 3, 4, 6, 4)) * 10
  grid = sigmas.karras(25)
  denoise = lambda x, s: precondition.denoise(network, precondition.edm_v, x, s)
  start = noise * np.sqrt(1 + grid[0] ** 2)
  got = np.asarray(jax.jit(lambda x: sampler.euler(denoise, x, grid))(start))
  want = reference['sampled']
  assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def test_the_scheduler_that_is_exported_knows_the_same_levels():
  config = to_diffusers.scheduler_config({'sigma_min': 0.01, 'sigma_max': 80.})
  assert (config['sigma_min'], config['sigma_max']) == (0.01, 80.)
  assert config['timestep_type'] == 'continuous' and config['use_karras_sigmas']
