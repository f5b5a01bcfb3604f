"""Pixels and latents: what is scaled, what is not."""

from einops import reduce
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.tasks import latents

PIXELS = np.arange(256, dtype=np.uint8)


@pytest.fixture
def video():
  return jax.random.uniform(jax.random.key(0), (2, 3, 8, 8, 3), minval=-1., maxval=1.)


def means(video):
  three = reduce(np.asarray(video), '... (h y) (w x) c -> ... h w c', 'mean', y=2, x=2)
  return np.concatenate([three, three[..., :1]], axis=-1)


def test_every_pixel_value_survives_the_round_trip():
  values = latents.to_float(jnp.asarray(PIXELS))
  assert (values.min(), values.max()) == (-1., 1.)
  np.testing.assert_array_equal(latents.to_uint8(values), PIXELS)


def test_values_out_of_range_are_clipped():
  np.testing.assert_array_equal(latents.to_uint8(jnp.array([-7., 9.])), [0, 255])


def test_latents_of_the_diffusion_are_scaled(fake, video):
  parts, params = fake(scale=0.25)
  got = latents.encode(parts, params, video, jax.random.key(1))
  np.testing.assert_allclose(got, 0.25 * means(video), atol=1e-6)


def test_the_conditioning_latent_is_not_scaled(fake, video):
  parts, params = fake(scale=0.25)
  got = latents.encode_condition(parts, params, video[:, 0])
  np.testing.assert_allclose(got, means(video)[:, 0], atol=1e-6)


def test_a_posterior_with_spread_is_sampled(fake, video):
  parts, params = fake(scale=0.5)
  spread = lambda p, x, mode: (jnp.zeros_like(x), jnp.full_like(x, np.log(9.)))
  parts.networks['vae'] = parts.networks['vae']._replace(apply=spread)
  got = latents.encode(parts, params, video, jax.random.key(1))
  assert float(got.std()) == pytest.approx(0.5 * 3., rel=0.1)


@pytest.mark.parametrize('chunk', [None, 1, 2])
def test_decoding_undoes_the_scale(fake, video, chunk):
  parts, params = fake(scale=0.25)
  z = latents.encode(parts, params, video, jax.random.key(1))
  frames = latents.decode(parts, params, z, chunk)
  np.testing.assert_allclose(frames[:, :, ::2, ::2], means(video)[..., :3], atol=1e-6)
