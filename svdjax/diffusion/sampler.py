"""Samplers: from noise to data along a grid of noise levels, for any `denoise(x, sigma [b])`.

`euler` and `heun` run the whole grid inside one jit. `sample` runs `euler_step` or `heun_step` from
Python, which can show progress: there the caller compiles `denoise`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from svdjax.core.errors import BadInput


class Churn(NamedTuple):
  """Noise added before each step (EDM algorithm 2), as Python numbers; none by default."""
  gamma: float = 0.  # growth of sigma per step: EDM's S_churn / steps, at most sqrt(2) - 1
  sigma_min: float = 0.  # only at sigma_min <= sigma <= sigma_max: EDM's S_tmin, S_tmax
  sigma_max: float = math.inf
  noise: float = 1.  # standard deviation of the added noise: EDM's S_noise


def initial_noise(key, shape, sigmas):
  """What a sampler starts from: Gaussian noise of variance 1 + sigmas[0]^2, float32 of `shape`."""
  return jax.random.normal(key, shape, jnp.float32) * jnp.sqrt(1 + jnp.float32(sigmas[0]) ** 2)


def euler_step(denoise, x, sigma, sigma_next, key=None, churn=Churn()):
  """One Euler step of the probability-flow ODE, dx/dsigma = (x - D) / sigma (EDM alg. 2, l. 4-8).

  Written as D + (sigma_next / sigma) (x - D), which gives D exactly at sigma_next = 0.

  Args:
    denoise: function of (x [b ...], sigma [b]), like x.
    x: [b ...] clips with noise of standard deviation sigma, float32.
    sigma: scalar.
    sigma_next: scalar, smaller than sigma.
    key: random key of this step; needed by churn alone.
    churn: a Churn.

  Returns:
    The clips with noise of standard deviation sigma_next, like x.
  """
  x, sigma = _add_noise(x, sigma, key, churn)
  denoised = denoise(x, _each_clip(sigma, x))
  return denoised + (sigma_next / sigma) * (x - denoised)


def heun_step(denoise, x, sigma, sigma_next, key=None, churn=Churn()):
  """One step of Heun's second-order method (EDM algorithm 2); exactly D where sigma_next is 0.

  Arguments as of `euler_step`; `denoise` is called twice.
  """
  x, sigma = _add_noise(x, sigma, key, churn)
  denoised = denoise(x, _each_clip(sigma, x))
  slope = (x - denoised) / sigma

  def inner():
    guess = x + (sigma_next - sigma) * slope
    slope_next = (guess - denoise(guess, _each_clip(sigma_next, x))) / sigma_next
    return x + (sigma_next - sigma) * (slope + slope_next) / 2

  if isinstance(sigma_next, jax.core.Tracer):
    return jax.lax.cond(sigma_next > 0, inner, lambda: denoised)
  return inner() if sigma_next > 0 else denoised


def euler(denoise, x, sigmas, key=None, churn=Churn()):
  """Integrates from x [b ...] along `sigmas` [n + 1] in n Euler steps, inside jit; returns x."""
  return _scan(euler_step, denoise, x, sigmas, key, churn)


def heun(denoise, x, sigmas, key=None, churn=Churn()):
  """Integrates from x [b ...] along `sigmas` [n + 1] in n Heun steps, inside jit; returns x."""
  return _scan(heun_step, denoise, x, sigmas, key, churn)


SAMPLERS = {'euler': euler, 'heun': heun}
STEPS = {'euler': euler_step, 'heun': heun_step}


def sample(step, denoise, x, sigmas, key=None, churn=Churn(), progress=None):
  """Integrates from x [b ...] along `sigmas` [n + 1] step by step, from Python.

  Args:
    step: `euler_step` or `heun_step`.
    denoise: function of (x [b ...], sigma [b]), like x; compiled by the caller.
    x: [b ...] from `initial_noise`.
    sigmas: concrete descending grid that ends in 0.
    key: random key, folded with the index of each step; needed by churn alone.
    churn: a Churn.
    progress: called with the number of finished steps after each, once its result is there.

  Returns:
    The same clips as the compiled sampler.
  """
  for i in range(len(sigmas) - 1):
    x = step(denoise, x, sigmas[i], sigmas[i + 1], _fold(key, i), churn)
    if progress:
      jax.block_until_ready(x)
      progress(i + 1)
  return x


def _scan(step, denoise, x, sigmas, key, churn):
  sigmas = jnp.asarray(sigmas, x.dtype)

  def body(x, i):
    return step(denoise, x, sigmas[i], sigmas[i + 1], _fold(key, i), churn), None

  return jax.lax.scan(body, x, jnp.arange(len(sigmas) - 1))[0]


def _fold(key, i):
  return None if key is None else jax.random.fold_in(key, i)


def _each_clip(sigma, x):
  return jnp.full(x.shape[:1], sigma, x.dtype)


def _add_noise(x, sigma, key, churn):
  """Lines 4 to 6 of EDM algorithm 2: raises the noise of x from sigma to (1 + gamma) sigma."""
  if not churn.gamma:
    return x, sigma
  if key is None:
    raise BadInput('a sampler with churn needs a random key; pass key or set churn.gamma to 0')
  active = (sigma >= churn.sigma_min) & (sigma <= churn.sigma_max)
  gamma = jnp.where(active, min(churn.gamma, math.sqrt(2) - 1), 0.).astype(x.dtype)
  noise = churn.noise * jax.random.normal(key, x.shape, x.dtype)
  return x + sigma * jnp.sqrt(gamma * (2 + gamma)) * noise, sigma * (1 + gamma)
