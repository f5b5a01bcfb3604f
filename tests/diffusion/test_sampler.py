"""Samplers against the exact solution for Gaussian data.

For data N(0, s^2) the best denoiser is D(x; sigma) = x s^2 / (s^2 + sigma^2), and the probability
flow ODE carries x at sigma to x s / sqrt(s^2 + sigma^2) at 0.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.diffusion import precondition, sampler, sigmas

SCALE = 0.5
CHURN = sampler.Churn(gamma=0.2, sigma_min=0.05, sigma_max=50.)
CHURNING = [name for name, method in sampler.METHODS.items() if method.churns]
RUNS = [pytest.param(name, sampler.Churn(), id=name) for name in sampler.METHODS] + [
    pytest.param(name, CHURN, id=f'{name} with churn') for name in CHURNING]


def best(x, sigma):
  return x * SCALE ** 2 / (SCALE ** 2 + precondition.per_clip(sigma, x) ** 2)


def start(grid, shape=(2, 3, 4, 4, 4)):
  return sampler.initial_noise(jax.random.key(0), shape, grid)


def error(method, n):
  """The largest error at 0.02: the step from there to 0 is one of Euler for all methods."""
  grid = sigmas.karras(n, 0.02, 10.)[:-1]
  x = start(grid)
  exact = x * math.hypot(SCALE, grid[-1]) / math.hypot(SCALE, grid[0])
  return jnp.abs(jax.jit(functools.partial(method, best))(x, grid) - exact).max()


@pytest.mark.parametrize('method, order', [
    (sampler.euler, 1), (sampler.heun, 2), (sampler.SAMPLERS['dpmpp_2m'], 2)],
                         ids=['euler', 'heun', 'dpmpp_2m'])
def test_the_error_falls_with_the_order_of_the_method(method, order):
  errors = [error(method, n) for n in (16, 32, 64)]
  measured = [math.log2(coarse / fine) for coarse, fine in zip(errors, errors[1:])]
  np.testing.assert_allclose(measured, order, atol=0.3)


@pytest.mark.parametrize('name, churn', RUNS)
def test_samples_have_the_distribution_of_the_data(name, churn):
  grid = sigmas.karras(400)
  x = start(grid, (10_000, 2))
  churn = churn._replace(gamma=churn.gamma / 10)
  x = jax.jit(lambda x: sampler.SAMPLERS[name](best, x, grid, jax.random.key(1), churn))(x)
  np.testing.assert_allclose([x.mean(), x.std()], [0, SCALE], atol=0.02)


@pytest.mark.parametrize('name, churn', RUNS)
def test_the_python_loop_gives_what_the_compiled_loop_gives(name, churn):
  grid, key = sigmas.karras(8), jax.random.key(1)
  compiled = jax.jit(lambda x: sampler.SAMPLERS[name](best, x, grid, key, churn))(start(grid))
  stepped = sampler.sample(name, best, start(grid), grid, key, churn)
  np.testing.assert_allclose(stepped, compiled, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('compile', [lambda f: f, jax.jit], ids=['Python', 'jit'])
@pytest.mark.parametrize('name', sampler.METHODS)
def test_the_last_step_is_exactly_the_denoised_clip(name, compile):
  x, key, method = start([0.3]), jax.random.key(1), sampler.METHODS[name]
  last = compile(lambda sigma_next: method.clips(sampler.advance(
      name, lambda x, sigma: x / 2, method.start(x), 0.3, sigma_next, key)))
  np.testing.assert_array_equal(last(jnp.float32(0)), x / 2)


def test_steps_are_counted_as_they_finish():
  grid, done = sigmas.karras(4), []
  sampler.sample('euler', best, start(grid), grid, progress=done.append)
  assert done == [1, 2, 3, 4]


@pytest.mark.parametrize('name', sampler.METHODS)
def test_the_network_is_called_once_a_step_but_twice_by_heun(name):
  levels = []

  def count(x, sigma):
    levels.append(sigma)
    return best(x, sigma)

  grid = sigmas.karras(25)
  sampler.sample(name, count, start(grid), grid, jax.random.key(1))
  assert len(levels) == (49 if name == 'heun' else 25)
  assert all(sigma.shape == (2,) and sigma[0] == sigma[1] for sigma in levels)


def test_noise_starts_at_the_variance_of_the_first_level():
  for sigma in 1., 700.:
    x = start([sigma, 0.], (100_000,))
    np.testing.assert_allclose(x.std(), math.sqrt(1 + sigma ** 2), rtol=0.01)


def test_without_churn_the_key_does_not_matter():
  grid = sigmas.karras(6)
  np.testing.assert_array_equal(sampler.euler(best, start(grid), grid, jax.random.key(1)),
                                sampler.euler(best, start(grid), grid))


def test_churn_draws_new_noise_from_each_key_and_the_same_from_one():
  grid = sigmas.karras(6)
  run = jax.jit(lambda key: sampler.euler(best, start(grid), grid, key, CHURN))
  a, b, again = (run(jax.random.key(k)) for k in (1, 2, 1))
  assert jnp.abs(a - b).max() > 0.01
  np.testing.assert_array_equal(a, again)


@pytest.mark.parametrize('gamma', [0.1, 0.4, 5.])
def test_churn_replaces_noise_and_keeps_its_level(gamma):
  """With D = 0, x is all noise: a step leaves the standard deviation sigma_next."""
  x = 3. * jax.random.normal(jax.random.key(0), (100_000,))
  churned, kept = (sampler.euler_step(lambda x, sigma: 0 * x, x, 3., 2., jax.random.key(1), c)
                   for c in (sampler.Churn(gamma), sampler.Churn()))
  np.testing.assert_allclose(churned.std(), 2., rtol=0.01)
  share = 1 / (1 + min(gamma, math.sqrt(2) - 1))  # EDM bounds gamma at sqrt(2) - 1
  np.testing.assert_allclose(jnp.mean(churned * kept) / 4, share, rtol=0.01)


def test_churn_outside_its_range_of_levels_does_nothing():
  grid, never = sigmas.karras(6), CHURN._replace(sigma_min=800., sigma_max=900.)
  np.testing.assert_array_equal(
      sampler.euler(best, start(grid), grid, jax.random.key(1), never),
      sampler.euler(best, start(grid), grid))


def test_churn_without_a_key_is_refused():
  grid = sigmas.karras(6)
  with pytest.raises(BadInput, match='needs a random key'):
    sampler.euler(best, start(grid), grid, churn=CHURN)


@pytest.mark.parametrize('name', ['dpmpp_2m', 'dpmpp_2m_sde'])
def test_a_multistep_method_has_no_churn(name):
  grid = sigmas.karras(6)
  with pytest.raises(BadInput, match=f'{name} has no churn.*euler or heun'):
    sampler.SAMPLERS[name](best, start(grid), grid, jax.random.key(1), CHURN)
