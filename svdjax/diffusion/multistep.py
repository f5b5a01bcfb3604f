"""DPM-Solver++(2M) and its SDE: second order for one call of the denoiser a step.

Both integrate in h = ln(sigma / sigma_next), exactly in the linear part, and extrapolate D from its
value at the level before (Lu et al. 2211.01095, algorithm 2, with alpha = 1).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from svdjax.core.errors import BadInput


class Trail(NamedTuple):
  """Where a multistep method stands.

  Attributes:
    x: [b ...] clips with the noise of the level reached.
    denoised: D at the level before, like x; anything at the start.
    sigma: that level, a scalar; infinite at the start, where nothing is extrapolated.
  """
  x: jax.Array
  denoised: jax.Array
  sigma: jax.Array


def start(x):
  """The Trail of clips [b ...] that no step was made of yet."""
  return Trail(x, jnp.zeros_like(x), jnp.asarray(jnp.inf, x.dtype))


def dpmpp_2m_step(denoise, trail, sigma, sigma_next, key=None):
  """One step of DPM-Solver++(2M), for the probability-flow ODE; exactly D where sigma_next is 0.

  Args:
    denoise: function of (x [b ...], sigma [b]), like x; called once.
    trail: a Trail at sigma.
    sigma: scalar.
    sigma_next: scalar, smaller than sigma.
    key: not used.

  Returns:
    The Trail at sigma_next.
  """
  del key
  return _step(denoise, trail, sigma, sigma_next, None)


def dpmpp_2m_sde_step(denoise, trail, sigma, sigma_next, key=None):
  """One step of SDE-DPM-Solver++(2M): as `dpmpp_2m_step`, with noise replaced on the way.

  Raises:
    BadInput: there is no key.
  """
  if key is None:
    raise BadInput('sampler dpmpp_2m_sde draws noise and needs a random key; pass key')
  return _step(denoise, trail, sigma, sigma_next, key)


def _step(denoise, trail, sigma, sigma_next, key):
  x, past, sigma_past = trail
  sigma, sigma_next = (jnp.asarray(s, x.dtype) for s in (sigma, sigma_next))
  denoised = denoise(x, jnp.full(x.shape[:1], sigma, x.dtype))
  ratio = sigma_next / sigma  # e^-h
  # Extrapolates by half a step; not from nowhere (sigma_past infinite), and not to 0 (h infinite).
  share = jnp.log(ratio) / (2 * jnp.log(sigma / sigma_past))
  share = jnp.where((ratio > 0) & jnp.isfinite(sigma_past), share, 0)
  target = denoised + share * (denoised - past)
  if key is None:
    return Trail(target + ratio * (x - target), denoised, sigma)
  noise = sigma_next * jnp.sqrt(1 - ratio ** 2) * jax.random.normal(key, x.shape, x.dtype)
  return Trail(target + ratio ** 2 * (x - target) + noise, denoised, sigma)
