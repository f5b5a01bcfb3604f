"""What the UNet is told: cross-attended tokens, concatenated latents, embedded scalars.

`config.conditioning` names them:
  context: 'text' (states of the CLIP text tower) or 'image' (one CLIP token of the first frame).
  concat: '' or 'first_frame' (its noise-augmented latent beside every frame).
  scalars: the vector conditioning in order, of 'fps', 'motion', 'cond_aug', and the camera's
    'polar' and 'azimuth' angles of each frame; () leaves it out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from svdjax.models import clip_resize, nn
from svdjax.tasks import latents


# Parts of the vector's width: SV3D embeds angles twice as wide as the noise (svd_model 7.1).
SHARES = {'polar': 2, 'azimuth': 2}


class Conditions(NamedTuple):
  """Inputs of the UNet beside the noisy latents; None where the experiment has none.

  Attributes:
    context: [b k e] cross-attended tokens.
    concat: [b t h w z] latents concatenated to the scaled noisy latents.
    vector: [b v] embedded scalars, [b t v] where some differ between frames.
  """
  context: jax.Array
  concat: jax.Array | None
  vector: jax.Array | None


def embed_scalars(names, width, values):
  """Fourier features of each scalar, concatenated (svd_model 1.3).

  Args:
    names: which of `values`, in order.
    width: of the whole vector; each scalar takes its SHARES of it, an even number.
    values: {name: [b] or [b t]}: fps is the frame rate minus one, motion the bucket, cond_aug the
      standard deviation of the noise on the conditioning image, polar and azimuth radians.

  Returns:
    [b width] float32, or [b t width] if one of the values is of each frame.
  """
  unit = width // sum(SHARES.get(n, 1) for n in names)
  features = [nn.sinusoid(values[n], unit * SHARES.get(n, 1)) for n in names]
  if framed := [x for x in features if x.ndim == 3]:
    b, t = framed[0].shape[:2]
    features = [x if x.ndim == 3 else jnp.broadcast_to(x[:, None], (b, t, x.shape[-1]))
                for x in features]
  return jnp.concatenate(features, axis=-1)


def text_tokens(parts, params, tokens, dtype):
  """Caption tokens int32 [b n] -> text states [b n e]."""
  return parts.apply('clip_text', params, tokens, dtype=dtype)[0]


def image_token(parts, params, image):
  """One CLIP token of a clean image [b h w 3] in [-1, 1] -> [b 1 e] (svd_model 4.1)."""
  size = parts.configs['clip_image']['size']
  return parts.apply('clip_image', params, clip_resize.preprocess(image, size))[:, None]


def conditions(config, parts, params, inputs, frames, key):
  """Builds the conditions of a batch, the same way in training and in sampling.

  Args:
    config: the experiment.
    parts, params: networks and their flat parameters.
    inputs: 'tokens' [b n]; 'image' [b h w 3] in [-1, 1]; 'fps', 'motion', 'cond_aug' [b]; those
      that the experiment uses. 'context' [b k e] and 'condition' [b h w z], where they are computed
      already, stand for 'tokens' and 'image'.
    frames: t.
    key: of the noise on the conditioning image.

  Returns:
    Conditions, float32.
  """
  spec = config.conditioning
  if 'context' in inputs:
    context = inputs['context'].astype(jnp.float32)
  elif spec.context == 'text':
    context = text_tokens(parts, params, inputs['tokens'], jnp.float32)
  else:
    context = image_token(parts, params, inputs['image'])
  concat = vector = None
  if spec.concat == 'first_frame':
    latent = _conditioning_latent(parts, params, inputs, key)[:, None]
    concat = jnp.broadcast_to(latent, (latent.shape[0], frames) + latent.shape[2:])
  if spec.scalars:
    vector = embed_scalars(spec.scalars, parts.configs['unet']['vector_dim'], inputs)
  return Conditions(context, concat, vector)


def _conditioning_latent(parts, params, inputs, key):
  """The latent [b h w z] of the image under its noise."""
  if 'condition' in inputs:
    return inputs['condition'].astype(jnp.float32)
  image = inputs['image']
  noisy = image + inputs['cond_aug'][:, None, None, None] * jax.random.normal(key, image.shape)
  return latents.encode_condition(parts, params, noisy)


def without_image(config, given, dropped):
  """The unconditional input: image token and latent zeroed together where `dropped` [b] holds.

  The vector stays (svd_model 2.4). Text is dropped in the data, as the empty caption.
  """
  zero = lambda x: jnp.where(dropped.reshape((-1,) + (1,) * (x.ndim - 1)), jnp.zeros_like(x), x)
  context = zero(given.context) if config.conditioning.context == 'image' else given.context
  return given._replace(context=context,
                        concat=None if given.concat is None else zero(given.concat))
