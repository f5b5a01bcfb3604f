"""From a network to a denoiser D(x, sigma): preconditionings and the loss weights they go with.

A preconditioning is a function of sigma [b], the standard deviation of the noise of each clip.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from svdjax.core.errors import BadInput


class Precondition(NamedTuple):
  """The four coefficients of EDM eq. 7, one per clip: each [b]."""
  c_skip: jax.Array
  c_out: jax.Array
  c_in: jax.Array
  c_noise: jax.Array


@functools.cache
def scaled_linear_sigmas(beta_start=0.00085, beta_end=0.012, n=1000):
  """The ascending discrete noise levels of Stable Diffusion: [n] float32, 0.029 to 14.61.

  beta is linear in its square root, and sigma = sqrt(1 / prod(1 - beta) - 1) (SVD appendix D).
  """
  beta = np.linspace(beta_start ** 0.5, beta_end ** 0.5, n, dtype=np.float64) ** 2
  table = np.sqrt(1 / np.cumprod(1 - beta) - 1).astype(np.float32)
  table.flags.writeable = False
  return table


def nearest(sigma, table):
  """The index [b] int32 of the entry of `table` [n] that is nearest to each sigma [b]."""
  return jnp.argmin(jnp.abs(sigma[:, None] - jnp.asarray(table, sigma.dtype)[None]), axis=1)


def edm_v(sigma):
  """SVD's preconditioning (appendix D): EDM with sigma_data = 1, and a network that predicts v."""
  scale = jnp.sqrt(sigma ** 2 + 1)
  return Precondition(1 / scale ** 2, -sigma / scale, 1 / scale, jnp.log(sigma) / 4)


def edm(sigma, sigma_data=0.5):
  """Karras et al.'s preconditioning (EDM table 1)."""
  scale = jnp.sqrt(sigma ** 2 + sigma_data ** 2)
  return Precondition(
      (sigma_data / scale) ** 2, sigma * sigma_data / scale, 1 / scale, jnp.log(sigma) / 4)


def eps(sigma, table=None):
  """Preconditioning of a network that predicts the noise, conditioned on a discrete level.

  Args:
    sigma: [b].
    table: [n] ascending noise levels; Stable Diffusion's by default. c_noise is the index of the
      nearest one; the other coefficients use sigma itself.
  """
  return Precondition(
      jnp.ones_like(sigma), -sigma, 1 / jnp.sqrt(sigma ** 2 + 1), _index(sigma, table))


def v_discrete(sigma, table=None):
  """Preconditioning of a network that predicts v, conditioned on a discrete level (see `eps`)."""
  return edm_v(sigma)._replace(c_noise=_index(sigma, table))


def _index(sigma, table):
  table = scaled_linear_sigmas() if table is None else table
  return nearest(sigma, table).astype(sigma.dtype)


PRECONDITIONS = {'edm_v': edm_v, 'edm': edm, 'eps': eps, 'v_discrete': v_discrete}


def per_clip(value, x):
  """Reshapes one value per clip [b] to multiply x [b ...], in x's dtype."""
  return jnp.expand_dims(value, range(1, x.ndim)).astype(x.dtype)


def denoise(network, precondition, x, sigma, *args):
  """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) (EDM eq. 7).

  Args:
    network: function of (c_in x [b ...], c_noise [b], *args) with the shape of x; any float dtype.
    precondition: function of sigma, e.g. from PRECONDITIONS.
    x: [b ...] noisy clips, float32.
    sigma: [b] float32, one noise level per clip.
    *args: handed to the network as they are.

  Returns:
    The denoised clips, like x.
  """
  c_skip, c_out, c_in, c_noise = precondition(sigma)
  output = network(per_clip(c_in, x) * x, c_noise, *args).astype(x.dtype)
  return per_clip(c_skip, x) * x + per_clip(c_out, x) * output


WEIGHTS = {
    'v': lambda sigma, _: (1 + sigma ** 2) / sigma ** 2,
    'edm': lambda sigma, data: (sigma ** 2 + data ** 2) / (sigma * data) ** 2,
    'eps': lambda sigma, _: sigma ** -2,
    'unit': lambda sigma, _: jnp.ones_like(sigma),
}


def loss_weight(name, sigma, sigma_data=0.5):
  """The weight lambda(sigma) [b] of the squared error of D.

  Args:
    name: 'v' (SVD appendix D; the plain error of v), 'edm' (EDM table 1; the plain error of
      EDM's network), 'eps' (the plain error of the noise) or 'unit'.
    sigma: [b].
    sigma_data: standard deviation of the data, used by 'edm' alone.

  Raises:
    BadInput: for another name.
  """
  if name not in WEIGHTS:
    raise BadInput(f'loss weight {name!r} is unknown; use one of {", ".join(WEIGHTS)}')
  return WEIGHTS[name](sigma, sigma_data)
