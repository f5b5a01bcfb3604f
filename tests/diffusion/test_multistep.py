"""DPM-Solver++(2M) and its SDE where their answers are known."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.diffusion import multistep, precondition, sampler, sigmas

SCALE = 0.5
KEY = jax.random.key(1)


def best(x, sigma):
  """The best denoiser of data N(0, SCALE^2)."""
  return x * SCALE ** 2 / (SCALE ** 2 + precondition.per_clip(sigma, x) ** 2)


def spread_error(n, clips=1_000_000):
  """How far the standard deviation of SDE samples at 0.02 is from the true one."""
  grid = sigmas.karras(n, 0.02, 10.)[:-1]
  x = math.hypot(SCALE, 10.) * jax.random.normal(jax.random.key(0), (clips,))
  run = jax.jit(functools.partial(sampler.SAMPLERS['dpmpp_2m_sde'], best))
  return abs(float(run(x, grid, KEY).std()) - math.hypot(SCALE, 0.02))


def test_the_spread_of_the_sde_converges_with_order_two():
  np.testing.assert_allclose(math.log2(spread_error(16) / spread_error(32)), 2, atol=0.3)


@pytest.mark.parametrize('step', [multistep.dpmpp_2m_step, multistep.dpmpp_2m_sde_step])
def test_a_constant_denoiser_is_integrated_exactly(step):
  """D = c: the ODE shrinks x - c by sigma_next / sigma; the SDE by its square, and adds noise."""
  x = 2. + 3. * jax.random.normal(jax.random.key(0), (200_000,))
  trail = step(lambda x, sigma: 2. + 0 * x, multistep.start(x), 3., 1., KEY)
  np.testing.assert_allclose(trail.x.std(), 1., rtol=0.01)
  slope = jnp.mean((x - 2.) * (trail.x - 2.)) / jnp.mean((x - 2.) ** 2)
  expected = 1 / 3 if step is multistep.dpmpp_2m_step else 1 / 9
  np.testing.assert_allclose(slope, expected, atol=0.005)


def test_a_denoiser_that_is_linear_in_ln_sigma_needs_no_small_steps():
  """D = ln sigma: past the first step the extrapolated D is exact at the middle of each step."""
  grid = np.geomspace(8., 0.5, 5).astype(np.float32)
  trail = multistep.Trail(jnp.zeros(1), jnp.log(jnp.full(1, 16.)), jnp.float32(16.))
  for sigma, sigma_next in zip(grid, grid[1:]):
    trail = multistep.dpmpp_2m_step(lambda x, s: jnp.log(s), trail, sigma, sigma_next)
  x = 0.
  for sigma in grid[:-1]:
    x = x / 2 + (np.log(sigma) - np.log(2) / 2) / 2
  np.testing.assert_allclose(trail.x, x, rtol=1e-5)


def test_the_first_step_is_one_of_euler():
  x = jax.random.normal(jax.random.key(0), (4, 3))
  np.testing.assert_allclose(
      multistep.dpmpp_2m_step(best, multistep.start(x), 3., 1.).x,
      sampler.euler_step(best, x, 3., 1.), rtol=1e-5)


def test_the_sde_draws_new_noise_from_each_key_and_the_same_from_one():
  grid = sigmas.karras(6)
  x = sampler.initial_noise(jax.random.key(0), (2, 4), grid)
  run = lambda key: sampler.SAMPLERS['dpmpp_2m_sde'](best, x, grid, jax.random.key(key))
  assert jnp.abs(run(1) - run(2)).max() > 0.01
  np.testing.assert_array_equal(run(1), run(1))
  with pytest.raises(BadInput, match='needs a random key'):
    sampler.SAMPLERS['dpmpp_2m_sde'](best, x, grid)
