"""Autoencoder objectives: image reconstruction with KL, then the temporal decoder alone."""

from einops import rearrange
import jax
import jax.numpy as jnp

from svdjax.core.params import part
from svdjax.core.rng import fold_name
from svdjax.models import vae
from svdjax.tasks import latents


def gradients(video):
  """Differences between neighbouring pixels along h and along w of [... h w c]."""
  return video[..., 1:, :, :] - video[..., :-1, :, :], video[..., :, 1:, :] - video[..., :, :-1, :]


def reconstruction_error(config, output, video):
  """L1 or L2 (config.autoencoder.norm) of pixels, plus that of their spatial gradients.

  LDM (2112.10752, appendix G) has a perceptual and an adversarial term beside it. The gradient term
  is ours and off by default: it sharpens edges without a perceptual network.
  """
  norm = config.autoencoder.norm
  error = (jnp.abs(output - video) ** norm).mean()
  edges = sum((jnp.abs(a - b) ** norm).mean() for a, b in zip(gradients(output), gradients(video)))
  return error + config.autoencoder.gradient_weight * edges


def loss(config, parts, params, batch, key):
  """Reconstruction plus KL of a batch of clips.

  Frames are encoded one by one. With the temporal decoder the clip is decoded as one chunk, and
  changes between frames are matched too, so that what flickers is penalised.

  Args:
    config: the experiment.
    parts, params: networks and their flat parameters.
    batch: 'video' uint8 [b t h w 3].
    key: random key of this step.

  Returns:
    (scalar, {'psnr', 'kl', 'reconstruction', 'latent_std'}).
  """
  return objective(config, parts, params, batch, key)[:2]


def objective(config, parts, params, batch, key):
  """As `loss`, with the decoded clips [b t h w 3] as a third result."""
  video = latents.to_float(batch['video'])
  vae_params = part(params, 'vae')
  apply = parts.networks['vae'].apply
  mean, log_variance = vae.encode(apply, vae_params, video)
  noise = jax.random.normal(fold_name(key, 'posterior'), mean.shape)
  output = vae.decode(apply, vae_params, mean + jnp.exp(0.5 * log_variance) * noise)
  # KL to a unit Gaussian; means over latents and over pixels, where LDM (appendix G) has sums.
  kl = 0.5 * jnp.mean(jnp.square(mean) + jnp.exp(log_variance) - 1. - log_variance)
  error = reconstruction_error(config, output, video)
  total = error + config.autoencoder.kl_weight * kl
  if parts.configs['vae']['temporal']:
    change = lambda x: x[:, 1:] - x[:, :-1]
    flicker = jnp.abs(change(output) - change(video)).mean()
    total = total + config.autoencoder.flicker_weight * flicker
  squares = rearrange(jnp.square(output - video), 'b t h w c -> b (t h w c)').mean(-1)
  psnr = (10. * jnp.log10(4. / squares)).mean()
  return total, {'psnr': psnr, 'kl': kl, 'reconstruction': error, 'latent_std': mean.std()}, output
