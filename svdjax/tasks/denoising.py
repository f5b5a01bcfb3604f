"""Image and video generation: the denoiser of an experiment and its training loss."""

import functools

import jax
import jax.numpy as jnp

from svdjax.core.rng import fold_name
from svdjax.diffusion import loss as objective
from svdjax.diffusion import precondition, sigmas
from svdjax.tasks import latents
from svdjax.tasks.conditioning import conditions, without_image


def denoiser(config, parts, params, given, dtype):
  """D(x; sigma) of clips of scaled latents x [b t h w z] under `given` Conditions.

  The conditioning latent is concatenated after the scaling by c_in (svd_model 2.1).
  """
  unet = parts.unet(params)
  cast = lambda x: None if x is None else x.astype(dtype)

  def network(x, c_noise):
    if given.concat is not None:
      x = jnp.concatenate([x, given.concat], axis=-1)
    own = {} if given.temporal_context is None else {
        'temporal_context': cast(given.temporal_context)}
    return unet(cast(x), c_noise, cast(given.context), cast(given.vector), **own)

  scheme = precondition.PRECONDITIONS[config.diffusion.precondition]
  denoise = functools.partial(precondition.denoise, network, scheme)
  return denoise if given.known is None else hold(denoise, given.known)


def hold(denoise, known):
  """`denoise` whose first frames are always the `known` ones [b k h w z]."""
  def held(x, sigma):
    return jnp.concatenate([known, denoise(x, sigma)[:, known.shape[1]:]], axis=1)
  return held


def draw_sigma(diffusion, key, clips, p_mean, p_std):
  """One noise level per clip, [b], from the distribution that the stage trains on."""
  if diffusion.sigma == 'discrete':
    return sigmas.discrete(key, (clips,), precondition.scaled_linear_sigmas())
  return sigmas.lognormal(key, (clips,), p_mean, p_std)


def training_inputs(config, batch, key):
  """The conditioning inputs of a batch of clips, with the augmentation of given frames."""
  names = ('tokens', 'fps', 'motion', 'elevation', 'context', 'condition')
  inputs = {n: batch[n] for n in names if n in batch}
  clips = batch['fps'].shape[0]
  inputs['cond_aug'] = jnp.zeros(clips)
  if config.conditioning.concat:
    mean, std = config.conditioning.log_cond_aug
    inputs['cond_aug'] = sigmas.lognormal(key, (clips,), mean, std)
  if 'cond_aug' in batch:  # of the noise that 'condition' was computed with
    inputs['cond_aug'] = batch['cond_aug']
  if 'video' in batch:
    inputs['image'] = latents.to_float(batch['video'][:, 0])
    inputs['last_image'] = latents.to_float(batch['video'][:, -1])
  return inputs


def loss(config, parts, params, batch, key):
  """The diffusion loss of a batch (SVD appendix D; svd_model 2.2).

  Args:
    config: the experiment.
    parts, params: networks and their flat parameters, frozen and trained together.
    batch: 'video' uint8 [b t h w 3] and 'tokens' int32 [b n], or what inputs.encoded has in their
      place; 'fps', 'motion' float32 [b]; 'p_mean', 'p_std' scalars of the distribution of ln sigma.
    key: random key of this step.

  Returns:
    (scalar, {'loss_by_sigma': {bin: (sum, count)}}).
  """
  inputs = training_inputs(config, batch, fold_name(key, 'cond_aug'))
  x0 = latents.of_batch(parts, params, batch, fold_name(key, 'posterior'))
  clips, frames = x0.shape[:2]
  given = conditions(config, parts, params, inputs, frames, fold_name(key, 'image_noise'))
  dropped = jax.random.bernoulli(fold_name(key, 'drop'), config.conditioning.drop_image, (clips,))
  given = without_image(config, given, dropped)
  x0 = jax.lax.stop_gradient(x0)
  sigma = draw_sigma(config.diffusion, fold_name(key, 'sigma'), clips, batch['p_mean'],
                     batch['p_std'])
  noise = jax.random.normal(fold_name(key, 'noise'), x0.shape)
  denoise = denoiser(config, parts, params, given, jnp.dtype(config.train.dtype))
  weight = precondition.loss_weight(config.diffusion.weight, sigma)
  each = objective.diffusion_loss(denoise, x0, sigma, noise, weight)
  bins = objective.loss_by_sigma(each, sigma, config.diffusion.loss_bins)
  return each.mean(), {'loss_by_sigma': bins}
