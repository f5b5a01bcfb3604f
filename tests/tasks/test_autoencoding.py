"""The autoencoder's loss on networks whose error is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.tasks import autoencoding

KEY = jax.random.key(0)


@pytest.fixture
def config(nano):
  return nano('autoencoder', {'autoencoder.norm': 1, 'autoencoder.kl_weight': 0.})


@pytest.fixture
def batch():
  video = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 8, 3)).astype(np.uint8)
  return {'video': jnp.asarray(video)}


def reconstructing(fake, error=0., log_variance=-60.):
  """Networks that give the video back, `error` (of the shape of the video) added."""

  def apply(params, x, mode):
    del params
    return (x, jnp.full_like(x, log_variance)) if mode == 'encode' else x + error

  parts, params = fake()
  parts.networks['vae'] = parts.networks['vae']._replace(apply=apply)
  return parts, params


def test_a_perfect_autoencoder_has_no_loss(fake, config, batch):
  loss, metrics = autoencoding.loss(config, *reconstructing(fake), batch, KEY)
  assert float(loss) < 1e-6 and float(metrics['psnr']) > 100


@pytest.mark.parametrize('norm', [1, 2])
def test_a_constant_error_costs_its_norm_and_no_edges(fake, config, batch, norm):
  config.autoencoder.update(norm=norm, gradient_weight=10.)
  loss, metrics = autoencoding.loss(config, *reconstructing(fake, 0.25), batch, KEY)
  assert float(loss) == pytest.approx(0.25 ** norm, rel=1e-4)
  assert float(metrics['psnr']) == pytest.approx(10 * np.log10(4 / 0.25 ** 2), abs=1e-3)


def test_edges_are_weighed(fake, config, batch):
  config.autoencoder.gradient_weight = 0.5
  stripes = 0.1 * jnp.arange(8.)[None, None, None, :, None]  # 0.1 more at each column
  loss, _ = autoencoding.loss(config, *reconstructing(fake, stripes), batch, KEY)
  assert float(loss) == pytest.approx(0.35 + 0.5 * 0.1, rel=1e-4)


def test_flicker_costs_where_the_decoder_is_temporal(fake, config, batch):
  config.autoencoder.flicker_weight = 2.
  flicker = 0.1 * jnp.array([0., 1., 0., 1.])[None, :, None, None, None]
  parts, params = reconstructing(fake, flicker)
  alone, _ = autoencoding.loss(config, parts, params, batch, KEY)
  parts.configs['vae']['temporal'] = True
  both, _ = autoencoding.loss(config, parts, params, batch, KEY)
  assert float(both - alone) == pytest.approx(2. * 0.1, rel=1e-4)


def test_the_posterior_is_pulled_to_a_unit_gaussian(fake, config, batch):
  config.autoencoder.kl_weight = 1.
  variance = 0.5
  parts, params = reconstructing(fake, log_variance=np.log(variance))
  loss, metrics = autoencoding.loss(config, parts, params, batch, KEY)
  video = np.asarray(batch['video']) / 127.5 - 1.
  expected = 0.5 * (np.square(video).mean() + variance - 1. - np.log(variance))
  assert float(metrics['kl']) == pytest.approx(expected, rel=1e-4)
  assert float(loss - metrics['reconstruction']) == pytest.approx(expected, rel=1e-4)


def test_gradients_are_those_of_the_plane():
  y, x = np.meshgrid(np.arange(5.), np.arange(6.), indexing='ij')
  plane = jnp.asarray(2 * y + 3 * x)[None, ..., None]
  down, right = autoencoding.gradients(plane)
  assert (down == 2).all() and (right == 3).all()
