"""Between pixels and latents, with the autoencoder of an experiment."""

import jax
import jax.numpy as jnp

from svdjax.core.params import part
from svdjax.models import vae


def to_float(video):
  """uint8 [...] -> float32 in [-1, 1]."""
  return video.astype(jnp.float32) / 127.5 - 1.


def to_uint8(video):
  """float [...] about [-1, 1] -> uint8, clipped and rounded."""
  return jnp.round(jnp.clip((video.astype(jnp.float32) + 1.) * 127.5, 0., 255.)).astype(jnp.uint8)


def encode(parts, params, video, key):
  """A sample of the posterior, scaled to about unit variance (svd_model 2.2).

  Args:
    parts, params: networks and their flat parameters.
    video: [b t h w 3] in [-1, 1].
    key: random key of the sample.

  Returns:
    [b t h/8 w/8 z] float32.
  """
  return sample(parts, *_moments(parts, params, video), key)


def _moments(parts, params, video):
  return vae.encode(parts.networks['vae'].apply, part(params, 'vae'), video,
                    parts.configs['vae'].get('encode_chunk', 0))


def of_batch(parts, params, batch, key):
  """`encode` of a batch's 'video', or of its 'moments' [b t h w 2z] where they are computed."""
  if 'moments' not in batch:
    return encode(parts, params, to_float(batch['video']), key)
  return sample(parts, *jnp.split(batch['moments'].astype(jnp.float32), 2, axis=-1), key)


def sample(parts, mean, log_variance, key):
  """A scaled sample of a posterior, float32."""
  noise = jax.random.normal(key, mean.shape, mean.dtype)
  scale = parts.configs['vae']['scale']
  return (scale * (mean + jnp.exp(0.5 * log_variance) * noise)).astype(jnp.float32)


def encode_condition(parts, params, image):
  """The posterior mean of a conditioning image, *not* scaled (svd_model 2.6 step 3).

  [b h w 3] -> [b h/8 w/8 z].
  """
  return encode_mean(parts, params, image[:, None])[:, 0]


def encode_mean(parts, params, video):
  """The posterior mean of each frame, *not* scaled: [b t h w 3] -> [b t h/8 w/8 z]."""
  return _moments(parts, params, video)[0]


def decode(parts, params, latents, chunk=None):
  """Scaled latents [b t h w z] -> frames [b t 8h 8w 3], `chunk` frames at a time."""
  scale = parts.configs['vae']['scale']
  return vae.decode(parts.networks['vae'].apply, part(params, 'vae'), latents / scale, chunk)

