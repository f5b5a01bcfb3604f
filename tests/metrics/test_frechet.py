"""The Fréchet distance where it is known."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from svdjax.core.errors import BadInput
from svdjax.metrics import frechet

some = hypothesis.settings(max_examples=20, deadline=None)


def gaussian(mean, covariance):
  return frechet.Statistics(np.array(mean, float), np.array(covariance, float), 100)


def random_gaussian(seed, d=6, rank=6):
  rng = np.random.default_rng(seed)
  factor = rng.standard_normal((d, rank))
  return gaussian(rng.standard_normal(d), factor @ factor.T)


def test_gaussians_that_share_their_axes():
  """|m|² + sum of (sigma_a - sigma_b)² over the axes."""
  turn = scipy.stats.ortho_group.rvs(3, random_state=0)
  a = gaussian([0, 0, 0], turn @ np.diag([1., 4., 9.]) @ turn.T)
  b = gaussian([1, 2, 2], turn @ np.diag([4., 4., 1.]) @ turn.T)
  assert frechet.frechet_distance(a, b) == pytest.approx(9 + 1 + 0 + 4)


@some
@hypothesis.given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_any_gaussians_agree_with_the_matrix_root_of_scipy(i, j):
  a, b = random_gaussian(i), random_gaussian(j + 10**7)
  root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
  want = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance - 2 * root)
  assert frechet.frechet_distance(a, b) == pytest.approx(want, rel=1e-6)


@some
@hypothesis.given(st.integers(0, 10**6), st.integers(1, 6))
def test_it_is_symmetric_and_zero_for_the_same_also_without_full_rank(seed, rank):
  a, b = random_gaussian(seed, rank=rank), random_gaussian(seed + 1, rank=rank)
  assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
  assert frechet.frechet_distance(a, b) == pytest.approx(frechet.frechet_distance(b, a), rel=1e-9)


def test_fewer_samples_than_dimensions_give_a_finite_distance():
  """400 dimensions from 20 samples, as in a quick FVD; scipy's root is complex there."""
  x, y = np.random.default_rng(0).standard_normal((2, 20, 400))
  distance = frechet.frechet_distance(frechet.statistics(x), frechet.statistics(y))
  assert np.isfinite(distance) and distance > 100
  assert frechet.frechet_distance(frechet.statistics(x), frechet.statistics(x)) < 1e-9


def test_statistics_are_those_of_the_samples():
  x = np.random.default_rng(0).standard_normal((50, 3))
  got = frechet.statistics(x.astype(np.float32))
  assert got.n == 50 and got.covariance.dtype == np.float64
  np.testing.assert_allclose(got.covariance, np.cov(x.T), rtol=1e-5)


def test_the_floor_falls_with_the_number_of_samples():
  x = np.random.default_rng(0).standard_normal((4000, 10))
  assert frechet.floor(x, 0) < 0.2 * frechet.floor(x[:200], 0)
  assert frechet.floor(x, 0) == frechet.floor(x, 0) != frechet.floor(x, 1)


@pytest.mark.parametrize('features, message', [
    (np.zeros((1, 4)), 'at least 2 samples'), (np.full((3, 4), np.nan), 'not finite')])
def test_what_has_no_statistics(features, message):
  with pytest.raises(BadInput, match=message):
    frechet.statistics(features)
