"""Noise levels: the distributions to train on and the grids to sample on."""

import jax
import jax.numpy as jnp
import numpy as np

from svdjax.core.errors import BadInput


def lognormal(key, shape, p_mean, p_std):
  """Draws sigma with ln sigma ~ N(p_mean, p_std^2) (EDM table 1), float32 of `shape`.

  It is also logit-normal time of rectified flow, as ln sigma = logit(t) for sigma = t / (1 - t).
  """
  return jnp.exp(p_mean + p_std * jax.random.normal(key, shape, jnp.float32))


def discrete(key, shape, table):
  """Draws sigma uniformly from the entries of `table` [n], float32 of `shape`."""
  table = jnp.asarray(table, jnp.float32)
  return table[jax.random.randint(key, shape, 0, table.shape[0])]


def karras(n, sigma_min=0.002, sigma_max=700., rho=7):
  """The descending grid of EDM eq. 5 and a final 0: [n + 1] float32, with SVD's range by default.

  Raises:
    BadInput: if n < 1 or not 0 < sigma_min <= sigma_max.
  """
  if n < 1 or not 0 < sigma_min <= sigma_max:
    raise BadInput(f'a sampling grid of {n} steps from {sigma_max} to {sigma_min} is impossible; '
                   'use at least 1 step and 0 < sigma_min <= sigma_max')
  low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
  grid = np.linspace(high, low, n, dtype=np.float64) ** rho
  return np.append(grid, 0).astype(np.float32)


# Sabour et al. 2404.14507, table 3: the schedule optimised for Stable Video Diffusion.
_AYS_SVD = (700., 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)


def align_your_steps(n):
  """The schedule optimised for SVD, from 700 to 0: [n + 1] float32, descending.

  Ten steps are the paper's; other numbers interpolate ln sigma over the share of the steps, as its
  authors do. The last level, 0.002, is 0 here, as in the implementations for this model.

  Raises:
    BadInput: if n < 1.
  """
  if n < 1:
    raise BadInput(f'a sampling grid of {n} steps is impossible; use at least 1 step')
  place = np.linspace(0, len(_AYS_SVD) - 1, n + 1)
  grid = np.exp(np.interp(place, np.arange(len(_AYS_SVD)), np.log(_AYS_SVD)))
  return np.append(grid[:-1], 0).astype(np.float32)


def discrete_grid(n, table):
  """n of the ascending levels of `table`, descending, and a final 0: [n + 1] float32.

  Levels are spaced evenly from the end of the table ("trailing", Lin et al. 2305.08891, section
  3.3): the sampler starts from pure noise, so the first step must be at the noisiest level the
  model knows. "Leading" spacing starts below it and leaves the noise of the first step unexplained.

  Raises:
    BadInput: unless 1 <= n <= len(table).
  """
  if not 1 <= n <= len(table):
    raise BadInput(f'{n} sampling steps on a table of {len(table)} noise levels is impossible; '
                   f'use 1 to {len(table)} steps')
  index = np.round(len(table) * (1 - np.arange(n) / n)).astype(int) - 1
  return np.append(np.asarray(table)[index], 0).astype(np.float32)
