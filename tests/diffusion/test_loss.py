"""The objective: one loss per clip, zero for a perfect denoiser, binned by noise level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.diffusion import loss as losses
from svdjax.diffusion import precondition

SHAPE = (3, 4, 2, 2, 3)  # b t h w c
SIGMA = jnp.array([0.05, 1., 60.])


@pytest.fixture
def clips():
  return jax.random.normal(jax.random.key(0), (2, *SHAPE))  # x0 and noise


def test_a_denoiser_that_knows_the_answer_has_no_loss(clips):
  x0, noise = clips
  got = losses.diffusion_loss(lambda x, sigma: x0, x0, SIGMA, noise, jnp.ones(3))
  np.testing.assert_array_equal(got, [0, 0, 0])


def test_a_denoiser_that_does_nothing_loses_the_variance_of_the_noise(clips):
  x0, noise = clips
  got = losses.diffusion_loss(lambda x, sigma: x, x0, SIGMA, noise, jnp.ones(3))
  power = (noise ** 2).mean((1, 2, 3, 4))
  np.testing.assert_allclose(got, SIGMA ** 2 * power, rtol=1e-4)


def test_the_v_weighted_loss_is_the_plain_error_of_v(clips):
  """SVD appendix D: lambda |D - x0|^2 = |F - v|^2, v = (n - sigma x0) / sqrt(1 + sigma^2)."""
  x0, noise = clips
  sigma = precondition.per_clip(SIGMA, x0)
  v = (noise - sigma * x0) / jnp.sqrt(1 + sigma ** 2)

  def denoise(x, sigma):
    return precondition.denoise(lambda x, _: 0.3 * x, precondition.edm_v, x, sigma)

  weight = precondition.loss_weight('v', SIGMA)
  got = losses.diffusion_loss(denoise, x0, SIGMA, noise, weight)
  output = 0.3 * (x0 + sigma * noise) / jnp.sqrt(1 + sigma ** 2)
  np.testing.assert_allclose(got, ((output - v) ** 2).mean((1, 2, 3, 4)), rtol=1e-3)


def test_clips_do_not_see_each_other(clips):
  x0, noise = clips
  args = SIGMA, noise, jnp.ones(3)
  before = losses.diffusion_loss(lambda x, sigma: 0.5 * x, x0, *args)
  after = losses.diffusion_loss(lambda x, sigma: 0.5 * x, x0.at[1].add(1.), *args)
  np.testing.assert_array_equal(before != after, [False, True, False])


def test_losses_are_summed_and_counted_by_noise_level():
  loss, sigma = jnp.array([1., 2., 4., 8.]), jnp.array([0.05, 0.1, 0.5, 700.])
  bins = jax.jit(losses.loss_by_sigma, static_argnums=2)(loss, sigma, (0.1, 1, 10))
  assert {name: tuple(map(float, bin)) for name, bin in bins.items()} == {
      'sigma_0_0.1': (1, 1), 'sigma_0.1_1': (6, 2), 'sigma_1_10': (0, 0), 'sigma_10_inf': (8, 1)}


def test_a_nonfinite_loss_stays_in_its_bin():
  bins = losses.loss_by_sigma(jnp.array([jnp.nan, 2.]), jnp.array([0.5, 5.]), (1,))
  assert jnp.isnan(bins['sigma_0_1'][0]) and bins['sigma_1_inf'][0] == 2
