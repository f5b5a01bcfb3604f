"""Samplers: from noise to data along a grid of noise levels, for any `denoise(x, sigma [b])`.

The functions of SAMPLERS run the whole grid inside one jit. `sample` runs a method of METHODS from
Python, which can show progress: there the caller compiles `denoise`.
"""

import functools
import math
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp

from svdjax.core.errors import BadInput
from svdjax.diffusion import multistep


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


class Method(NamedTuple):
  """A sampler as a state and a step.

  Attributes:
    start: clips [b ...] -> state.
    step: (denoise, state, sigma, sigma_next, key) -> state; methods that churn also take a Churn.
    clips: state -> clips [b ...].
    churns: whether `step` takes a Churn.
  """
  start: Callable
  step: Callable
  clips: Callable
  churns: bool


def _one_step(step):
  return Method(lambda x: x, step, lambda x: x, True)


def _multistep(step):
  return Method(multistep.start, step, lambda trail: trail.x, False)


METHODS = {'euler': _one_step(euler_step), 'heun': _one_step(heun_step),
           'dpmpp_2m': _multistep(multistep.dpmpp_2m_step),
           'dpmpp_2m_sde': _multistep(multistep.dpmpp_2m_sde_step)}


def check_churn(name, gamma):
  """Raises BadInput if churn is asked of a method that has none."""
  if gamma and not METHODS[name].churns:
    raise BadInput(f'sampler {name} has no churn: set it to 0, or use '
                   f'{" or ".join(n for n, m in METHODS.items() if m.churns)}')


def advance(name, denoise, state, sigma, sigma_next, key=None, churn=Churn()):
  """One step of a method of METHODS, from its state at sigma to its state at sigma_next.

  Raises:
    BadInput: churn is asked of a method that has none.
  """
  check_churn(name, churn.gamma)
  method = METHODS[name]
  more = (churn,) if method.churns else ()
  return method.step(denoise, state, sigma, sigma_next, key, *more)


def compiled(name, denoise, x, sigmas, key=None, churn=Churn()):
  """Integrates from x [b ...] along `sigmas` [n + 1] in n steps of a method, inside jit.

  Returns:
    The clips at the last level, like x.
  """
  sigmas = jnp.asarray(sigmas, x.dtype)

  def body(state, i):
    return advance(name, denoise, state, sigmas[i], sigmas[i + 1], _fold(key, i), churn), None

  method = METHODS[name]
  return method.clips(jax.lax.scan(body, method.start(x), jnp.arange(len(sigmas) - 1))[0])


SAMPLERS = {name: functools.partial(compiled, name) for name in METHODS}
euler, heun = SAMPLERS['euler'], SAMPLERS['heun']


def sample(name, denoise, x, sigmas, key=None, churn=Churn(), progress=None):
  """Integrates from x [b ...] along `sigmas` [n + 1] step by step, from Python.

  Args:
    name: of a method.
    denoise: function of (x [b ...], sigma [b]), like x; compiled by the caller.
    x: [b ...] from `initial_noise`.
    sigmas: concrete descending grid that ends in 0.
    key: random key, folded with the index of each step; needed by churn and the SDE alone.
    churn: a Churn.
    progress: called with the number of finished steps after each, once its result is there.

  Returns:
    The same clips as the compiled sampler.
  """
  state = METHODS[name].start(x)
  for i in range(len(sigmas) - 1):
    state = advance(name, denoise, state, sigmas[i], sigmas[i + 1], _fold(key, i), churn)
    if progress:
      jax.block_until_ready(state)
      progress(i + 1)
  return METHODS[name].clips(state)


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
