"""From conditions to frames: the guided sampler of an experiment, compiled step by step."""

import dataclasses
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from svdjax.core import mesh
from svdjax.core.errors import BadInput
from svdjax.core.rng import fold_name
from svdjax.diffusion import guidance, precondition, sampler, sigmas
from svdjax.models.skip import MIDDLE, skip
from svdjax.tasks import latents
from svdjax.tasks.conditioning import conditions, without_image
from svdjax.tasks.denoising import denoiser


@dataclasses.dataclass(frozen=True)
class Settings:
  """How to sample; the defaults of an experiment are in config.sample.

  Attributes:
    schedule: of the noise levels, a name in SCHEDULES.
    guidance_interval: the noise levels (low, high) at which guidance applies; None: all.
    skip_scale: of skip-layer guidance; 0: none.
    skip_layers: regular expression of the parameters of the layers it skips. The middle of the
      UNet by default (ours: the paper leaves the choice to the user).
  """
  frames: int
  height: int
  width: int
  steps: int
  sampler: str
  guidance: str
  guidance_min: float
  guidance_max: float
  sigma_min: float
  sigma_max: float
  churn: float = 0.
  decode_chunk: int = 0
  schedule: str = 'karras'
  guidance_interval: tuple[float, float] | None = None
  skip_scale: float = 0.
  skip_layers: str = MIDDLE


def settings(config, **changes):
  """The Settings of an experiment, with those `changes` that are not None.

  Raises:
    BadInput: an unknown sampler, schedule or guidance, settings that exclude each other, or a
      size the networks cannot take.
  """
  chosen = {f.name: config.sample[f.name] for f in dataclasses.fields(Settings)
            if f.name in config.sample}
  chosen |= {n: getattr(config.data, n) for n in ('frames', 'height', 'width')}
  chosen |= {n: x for n, x in changes.items() if x is not None}
  result = Settings(**chosen)
  for name, table in (('sampler', sampler.METHODS), ('guidance', guidance.GUIDANCE),
                      ('schedule', SCHEDULES)):
    if getattr(result, name) not in table:
      raise BadInput(f'{name} "{getattr(result, name)}" is unknown: use one of '
                     f'{", ".join(table)}')
  sampler.check_churn(result.sampler, result.churn)
  _check_levels(config, result)
  for name in ('frames', 'steps'):
    if getattr(result, name) < 1:
      raise BadInput(f'{name} must be at least 1, not {getattr(result, name)}')
  check_frames(config, result.frames)
  check_size(config, result.height, result.width)
  return result


def check_frames(config, frames):
  """Raises BadInput where no frame is left to make between a first and a last one."""
  if config.conditioning.concat == 'masked' and frames < 3:
    raise BadInput(f'frames {frames} leave none between the first and the last, which are given: '
                   'use at least 3')


def _check_levels(config, chosen):
  discrete = 'diffusion' in config and config.diffusion.sigma == 'discrete'
  if discrete and chosen.schedule != 'karras':
    raise BadInput(f'schedule "{chosen.schedule}" has levels that a model of discrete noise levels '
                   'does not know: drop it')
  low, high = chosen.guidance_interval or (0, 1)
  if not 0 <= low < high:
    raise BadInput(f'guidance_interval {low:g} to {high:g} is empty: give a noise level and a '
                   'larger one')


def check_size(config, height, width):
  """Raises BadInput unless both sides are multiples of what the networks downscale by."""
  unit = 2 ** (len(config.model.vae.channels) - 1)
  if 'unet' in config.model:
    unit *= 2 ** (len(config.model.unet.channels) - 1)
  for name, size in (('height', height), ('width', width)):
    if size < unit or size % unit:
      raise BadInput(f'{name} {size} is not a positive multiple of {unit} pixels, which the '
                     f'networks downscale by: use {max(unit, round(size / unit) * unit)}')


class Generator(NamedTuple):
  """Compiled pieces of sampling; `run` puts them together."""
  prepare: Callable
  method: sampler.Method
  step: Callable
  decode: Callable
  sigmas: jax.Array
  shape: tuple


def scales(chosen):
  """Guidance scale of each frame [t]."""
  low = (chosen.guidance_max,) if chosen.guidance == 'constant' else (
      chosen.guidance_min, chosen.guidance_max)
  return guidance.GUIDANCE[chosen.guidance](chosen.frames, *low)


def grid(config, chosen):
  """Noise levels to sample on, [steps + 1]."""
  if config.diffusion.sigma == 'discrete':
    return sigmas.discrete_grid(chosen.steps, precondition.scaled_linear_sigmas())
  return SCHEDULES[chosen.schedule](chosen)


SCHEDULES = {
    'karras': lambda chosen: sigmas.karras(chosen.steps, chosen.sigma_min, chosen.sigma_max),
    'ays': lambda chosen: sigmas.align_your_steps(chosen.steps),
}


def guided_denoiser(config, parts, params, given, chosen):
  """D(x; sigma) of clips [b t h w z] under [uncond ‖ cond] Conditions, guided as `chosen` says."""
  make = lambda params, given: denoiser(config, parts, params, given,
                                        jnp.dtype(config.train.dtype))
  denoise, scale = make(params, given), scales(chosen)
  wanted = jax.tree.map(lambda x: jnp.split(x, 2)[1], given)
  conditional = make(params, wanted)

  def guided(x, sigma):
    """Guided by scale, and away from skipped layers where that is asked for."""
    both = denoise(jnp.concatenate([x, x]), jnp.concatenate([sigma, sigma]))
    uncond, cond = jnp.split(both, 2)
    result = guidance.guide(uncond, cond, scale)
    if not chosen.skip_scale:
      return result
    weak = make(skip(params, chosen.skip_layers), wanted)(x, sigma)
    return guidance.guide_away(result, cond, weak, chosen.skip_scale)

  def within(x, sigma):
    active = guidance.active(sigma[0], *chosen.guidance_interval)
    return jax.lax.cond(active, guided, conditional, x, sigma)

  return within if chosen.guidance_interval else guided


def build(config, parts, chosen):
  """Prepares sampling with given Settings.

  Returns:
    A Generator, for any number of clips.
  """
  levels, churn = grid(config, chosen), sampler.Churn(gamma=chosen.churn)

  @jax.jit
  def prepare(params, inputs, key):
    """inputs as of `conditioning.conditions`, plus 'empty_tokens' -> [uncond ‖ cond] Conditions."""
    cond = conditions(config, parts, params, inputs, chosen.frames, key)
    if config.conditioning.context == 'text':
      empty = inputs | {n: inputs['empty_tokens'] for n in ('tokens', 'temporal_tokens')
                        if n in inputs}
      uncond = conditions(config, parts, params, empty, chosen.frames, key)
    else:
      uncond = cond
    uncond = without_image(config, uncond, jnp.ones(cond.context.shape[0], bool))
    return jax.tree.map(lambda u, c: mesh.constrain(jnp.concatenate([u, c])), uncond, cond)

  @jax.jit
  def step(params, given, state, sigma, sigma_next, key):
    """One guided step of the sampler from its state at sigma to that at sigma_next."""
    denoise = guided_denoiser(config, parts, params, given, chosen)
    return jax.tree.map(mesh.constrain, sampler.advance(
        chosen.sampler, denoise, state, sigma, sigma_next, key, churn))

  @jax.jit
  def decode(params, x):
    frames = latents.decode(parts, params, x, chosen.decode_chunk or None)
    return mesh.constrain(latents.to_uint8(frames))

  unit = 2 ** (len(config.model.vae.channels) - 1)
  shape = (chosen.frames, chosen.height // unit, chosen.width // unit,
           config.model.vae.latent_channels)
  return Generator(prepare, sampler.METHODS[chosen.sampler], step, decode, levels, shape)


def run(generator, params, inputs, key, progress=None):
  """Samples and decodes one clip for each entry of `inputs`, see `sample`: uint8 [b t h w 3]."""
  return generator.decode(params, sample(generator, params, inputs, key, progress))


def sample(generator, params, inputs, key, progress=None):
  """Samples one clip for each entry of `inputs`.

  Args:
    generator: from `build`.
    params: flat parameters of all networks.
    inputs: conditioning inputs, each with a leading axis b.
    key: random key; the same key gives the same clips.
    progress: called with the number of finished steps.

  Returns:
    Scaled latents [b t h w z].
  """
  clips = jax.tree.leaves(inputs)[0].shape[0]
  given = generator.prepare(params, inputs, fold_name(key, 'image_noise'))
  x = sampler.initial_noise(
      fold_name(key, 'noise'), (clips,) + generator.shape, generator.sigmas)
  if given.known is not None:  # [uncond ‖ cond], alike
    x = x.at[:, :given.known.shape[1]].add(given.known[:clips])
  # Committed like what a step returns, or the second step would be compiled again.
  state = jax.tree.map(lambda a: mesh.place(a, given.context.sharding), generator.method.start(x))
  levels = np.asarray(generator.sigmas, np.float32)
  for i in range(len(levels) - 1):
    state = generator.step(params, given, state, levels[i], levels[i + 1],
                           jax.random.fold_in(fold_name(key, 'churn'), i))
    if progress:
      jax.block_until_ready(state)
      progress(i + 1)
  return generator.method.clips(state)
