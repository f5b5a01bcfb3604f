"""The Fréchet distance between Gaussians fitted to features, in float64."""

from typing import NamedTuple

import numpy as np

from svdjax.core.errors import BadInput


class Statistics(NamedTuple):
  """Mean [d] and covariance [d d] of n features."""
  mean: np.ndarray
  covariance: np.ndarray
  n: int


def statistics(features):
  """Statistics of features [n d].

  Raises:
    BadInput: fewer than two, or one that is not finite.
  """
  features = np.asarray(features, np.float64)
  if len(features) < 2:
    raise BadInput(f'a Fréchet distance needs at least 2 samples on each side, not {len(features)}')
  if not np.isfinite(features).all():
    raise BadInput('features are not finite: check the weights of the feature network')
  return Statistics(features.mean(0), np.atleast_2d(np.cov(features, rowvar=False)), len(features))


def _root(covariance):
  """The symmetric square root of a positive semidefinite matrix."""
  values, vectors = np.linalg.eigh(covariance)
  return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet_distance(a, b):
  """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½) of two Statistics (Dowson & Landau 1982).

  The trace of the root is the sum of singular values of C_a^½ C_b^½: real, and stable for
  covariances without full rank, which is what fewer samples than dimensions give.
  """
  cross = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False).sum()
  distance = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance) + np.trace(b.covariance)
  return float(max(distance - 2 * cross, 0.))


def floor(features, seed):
  """The distance between two random halves of real features [n d]: what a perfect model gets.

  Halves have n / 2 samples each, and the distance falls with their number: it bounds the floor of n
  samples from above.
  """
  order = np.random.default_rng(seed).permutation(len(features))
  half = len(features) // 2
  first, second = (statistics(np.asarray(features)[part]) for part in
                   (order[:half], order[half:2 * half]))
  return frechet_distance(first, second)
