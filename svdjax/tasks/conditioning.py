"""What the UNet is told: cross-attended tokens, concatenated latents, embedded scalars.

`config.conditioning` names them:
  context: 'text' (states of the CLIP text tower), 'image' (one CLIP token of the first frame) or
    'ends' (those of the first and the last frame).
  concat: '', 'first_frame' (its noise-augmented latent beside every frame) or 'masked' (latents of
    the first and the last frame, a learned one between them, and which is which).
  scalars: the vector conditioning in order, of 'fps', 'motion', 'cond_aug', the 'elevation' of an
    orbit, and the camera's 'polar' and 'azimuth' angles of each frame; () leaves it out.
"""

from typing import NamedTuple

from einops import rearrange
import jax
import jax.numpy as jnp

from svdjax.models import clip_resize, nn
from svdjax.tasks import latents


SCALARS = ('fps', 'motion', 'cond_aug', 'elevation', 'polar', 'azimuth')
# Parts of the vector's width: SV3D embeds angles twice as wide as the noise (svd_model 7.1).
SHARES = {'polar': 2, 'azimuth': 2}


class Conditions(NamedTuple):
  """Inputs of the UNet beside the noisy latents; None where the experiment has none.

  Attributes:
    context: [b k e] cross-attended tokens.
    concat: [b t h w z] latents concatenated to the scaled noisy latents.
    vector: [b v] embedded scalars, [b t v] where some differ between frames.
    temporal_context: [b k e] cross-attended by temporal layers in place of context.
    known: [b k h w z] scaled latents of the first frames, which are not to be made.
  """
  context: jax.Array
  concat: jax.Array | None
  vector: jax.Array | None
  temporal_context: jax.Array | None = None
  known: jax.Array | None = None


def embed_scalars(names, width, values):
  """Fourier features of each scalar, concatenated (svd_model 1.3).

  Args:
    names: which of `values`, in order.
    width: of the whole vector; each scalar takes its SHARES of it, an even number.
    values: {name: [b] or [b t]}: fps is the frame rate minus one, motion the bucket, cond_aug the
      standard deviation of the noise on the conditioning image, elevation degrees (ours), polar
      and azimuth radians.

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


def image_tokens(parts, params, *images):
  """One CLIP token of each of k clean images [b h w 3] in [-1, 1] -> [b k e] (svd_model 4.1)."""
  size = parts.configs['clip_image']['size']
  resized = clip_resize.preprocess(jnp.concatenate(images), size)
  return rearrange(parts.apply('clip_image', params, resized), '(k b) e -> b k e', k=len(images))


CONTEXTS = {'text': (), 'image': ('image',), 'ends': ('image', 'last_image')}  # seen by CLIP


def context_tokens(config, parts, params, inputs):
  """The cross-attended tokens [b k e] of an experiment, see `conditions`."""
  if 'context' in inputs:
    return inputs['context'].astype(jnp.float32)
  if config.conditioning.context == 'text':
    return text_tokens(parts, params, inputs['tokens'], jnp.float32)
  return image_tokens(parts, params, *(inputs[n] for n in CONTEXTS[config.conditioning.context]))


def first_frame(parts, params, inputs, frames, key):
  """The unscaled latent of the image, noised as pixels, beside every frame: [b t h w z]."""
  if 'condition' in inputs:
    latent = inputs['condition'].astype(jnp.float32)
  else:
    image = inputs['image']
    noisy = image + inputs['cond_aug'][:, None, None, None] * jax.random.normal(key, image.shape)
    latent = jax.lax.stop_gradient(latents.encode_condition(parts, params, noisy))
  return jnp.broadcast_to(latent[:, None], (latent.shape[0], frames) + latent.shape[1:])


def masked(parts, params, inputs, frames, key):
  """{z_s, m, …, m, z_e} and 1 where a frame is given: [b t h w z+1] (SVD appendix D.5).

  The latents of the ends are scaled and noised as latents, so that cond_aug is in units of sigma.
  """
  ends = jnp.stack([inputs['image'], inputs['last_image']], axis=1)
  known = parts.configs['vae']['scale'] * latents.encode_mean(parts, params, ends)
  known = jax.lax.stop_gradient(known)
  b, _, h, w, z = known.shape
  known = known + inputs['cond_aug'][:, None, None, None, None] * jax.random.normal(
      key, known.shape)
  between = jnp.broadcast_to(parts.apply('mask', params, h, w), (b, frames - 2, h, w, z))
  given = jnp.zeros((1, frames, 1, 1, 1)).at[:, jnp.array([0, -1])].set(1.)
  return jnp.concatenate([jnp.concatenate([known[:, :1], between, known[:, 1:]], axis=1),
                          jnp.broadcast_to(given, (b, frames, h, w, 1))], axis=-1)


CONCATS = {'first_frame': first_frame, 'masked': masked}


def conditions(config, parts, params, inputs, frames, key):
  """Builds the conditions of a batch, the same way in training and in sampling.

  Args:
    config: the experiment.
    parts, params: networks and their flat parameters.
    inputs: 'tokens' [b n]; 'image', 'last_image' [b h w 3] in [-1, 1]; scalars as of
      `embed_scalars`; those that the experiment uses. In sampling also 'temporal_tokens' [b n], a
      caption for temporal layers alone (appendix E.5.4), and 'known' [b k h w z].
      'context' [b k e] and 'condition' [b h w z], where they are computed already, stand for
      'tokens' and 'image'.
    frames: t.
    key: of the noise on the conditioning image.

  Returns:
    Conditions, float32. No gradient reaches autoencoder and CLIP.
  """
  spec = config.conditioning
  context = jax.lax.stop_gradient(context_tokens(config, parts, params, inputs))
  concat = vector = None
  if spec.concat:
    concat = CONCATS[spec.concat](parts, params, inputs, frames, key)
  else:  # nothing that noise could be on, as in training
    inputs = inputs | {n: jnp.zeros_like(x) for n, x in inputs.items() if n == 'cond_aug'}
  if spec.scalars:
    vector = embed_scalars(spec.scalars, parts.configs['unet']['vector_dim'], inputs)
  temporal = inputs.get('temporal_tokens')
  if temporal is not None:
    temporal = text_tokens(parts, params, temporal, jnp.float32)
  return Conditions(context, concat, vector, temporal, inputs.get('known'))


def without_image(config, given, dropped):
  """The unconditional input: image tokens and latents zeroed together where `dropped` [b] holds.

  The vector stays (svd_model 2.4). Text is dropped in the data, as the empty caption.
  """
  zero = lambda x: jnp.where(dropped.reshape((-1,) + (1,) * (x.ndim - 1)), jnp.zeros_like(x), x)
  context = given.context if config.conditioning.context == 'text' else zero(given.context)
  return given._replace(context=context,
                        concat=None if given.concat is None else zero(given.concat))
