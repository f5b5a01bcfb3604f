"""Noise levels: moments of the training distributions, values of the sampling grids."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.diffusion import precondition, sigmas

TABLE = precondition.scaled_linear_sigmas()
SVD_25 = [700, 545.729, 421.569, 322.454, 244.023, 182.547, 134.854, 98.2671, 70.5408, 49.8098,
          34.5367, 23.4675, 15.5900, 10.0971, 6.35427, 3.86970, 2.26912, 1.27318, 0.67815, 0.33938,
          0.15740, 0.06640, 0.02480, 0.00788, 0.002, 0]
SVD_30 = [700, 570.027, 461.313, 370.878, 296.086, 234.613, 184.421, 143.729, 110.989, 84.8619,
          64.1942, 48.0003, 35.4422, 25.8125, 18.5185, 13.0677, 9.0543, 6.1474, 4.0802, 2.6399,
          1.6594, 1.0092, 0.5909, 0.3310, 0.1759, 0.0878, 0.0406, 0.0171, 0.0063, 0.002, 0]


@pytest.mark.parametrize('expected', [SVD_25, SVD_30], ids=['25 steps', '30 steps'])
def test_the_default_grids_are_those_of_svd(expected):
  grid = sigmas.karras(len(expected) - 1)
  assert grid.dtype == np.float32
  np.testing.assert_allclose(grid, expected, rtol=3e-6, atol=6e-5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 200), low=st.floats(1e-3, 1), high=st.floats(2, 1000),
       rho=st.floats(1, 10))
def test_a_grid_descends_from_sigma_max_over_sigma_min_to_zero(n, low, high, rho):
  grid = sigmas.karras(n, low, high, rho)
  assert grid.shape == (n + 1,) and (np.diff(grid) < 0).all()
  np.testing.assert_allclose(grid[[0, -2, -1]], [high, low, 0], rtol=1e-6)


@pytest.mark.parametrize('n, low, high', [(0, 0.002, 700), (5, 0, 700), (5, 2, 1)])
def test_an_impossible_grid_is_refused(n, low, high):
  with pytest.raises(BadInput, match='sampling grid'):
    sigmas.karras(n, low, high)


def test_ten_aligned_steps_are_those_of_the_paper():
  np.testing.assert_allclose(
      sigmas.align_your_steps(10),
      [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0], rtol=1e-6)


@pytest.mark.parametrize('n', [1, 2, 5, 20, 25])
def test_other_numbers_of_aligned_steps_lie_between(n):
  grid, ten = sigmas.align_your_steps(n), sigmas.align_your_steps(10)
  assert grid.shape == (n + 1,) and (np.diff(grid) < 0).all()
  assert grid[0] == 700 and grid[-1] == 0
  if n == 20:  # the paper's levels, and geometric means of neighbours
    np.testing.assert_allclose(grid[:-1:2], ten[:-1], rtol=1e-6)
    np.testing.assert_allclose(grid[1:-2:2], np.sqrt(ten[:-2] * ten[1:-1]), rtol=1e-6)


def test_no_aligned_steps_are_refused():
  with pytest.raises(BadInput, match='grid of 0 steps'):
    sigmas.align_your_steps(0)


@pytest.mark.parametrize('n', [1, 3, 7, 50, 999, 1000])
def test_a_discrete_grid_starts_at_the_noisiest_level_of_the_table(n):
  grid = sigmas.discrete_grid(n, TABLE)
  assert grid.shape == (n + 1,) and (np.diff(grid) < 0).all()
  assert grid[0] == TABLE[-1] and grid[-1] == 0
  assert np.isin(grid[:-1], TABLE).all()


def test_a_discrete_grid_is_evenly_spaced_in_the_index():
  np.testing.assert_array_equal(
      sigmas.discrete_grid(5, TABLE)[:-1], TABLE[[999, 799, 599, 399, 199]])


@pytest.mark.parametrize('n', [0, 1001])
def test_a_discrete_grid_longer_than_its_table_is_refused(n):
  with pytest.raises(BadInput, match='table of 1000'):
    sigmas.discrete_grid(n, TABLE)


@pytest.mark.parametrize('p_mean, p_std', [(-1.2, 1.0), (0.7, 1.6), (1.0, 1.6)])
def test_lognormal_has_the_moments_asked_for(p_mean, p_std):
  log = jnp.log(sigmas.lognormal(jax.random.key(0), (50_000,), p_mean, p_std))
  np.testing.assert_allclose([log.mean(), log.std()], [p_mean, p_std], atol=0.03)


def test_lognormal_is_logit_normal_time_of_rectified_flow():
  sigma = sigmas.lognormal(jax.random.key(0), (100,), 0.5, 1.4)
  t = sigma / (1 + sigma)
  logit = 0.5 + 1.4 * jax.random.normal(jax.random.key(0), (100,))
  np.testing.assert_allclose(t, jax.nn.sigmoid(logit), rtol=1e-4)


def test_discrete_draws_every_entry_equally_often():
  table = np.array([0.5, 1, 2, 4], np.float32)
  drawn = sigmas.discrete(jax.random.key(0), (40, 1000), table)
  assert drawn.shape == (40, 1000) and drawn.dtype == jnp.float32
  values, counts = np.unique(drawn, return_counts=True)
  np.testing.assert_array_equal(values, table)
  np.testing.assert_allclose(counts / drawn.size, 0.25, atol=0.01)
