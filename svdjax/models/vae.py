"""KL autoencoder: 2-D encoder, image decoder, and SVD's temporal decoder (svd_model 3)."""

import dataclasses
import functools

from einops import rearrange
from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.core import split
from svdjax.models import nn
from svdjax.models.attention import attend
from svdjax.models.blocks import Downsample, ResBlock, Upsample
from svdjax.models.remat import checkpoint
from svdjax.models.temporal import AlphaBlender, TemporalResBlock


@dataclasses.dataclass(frozen=True)
class VAEConfig:
  """Sizes of the autoencoder; defaults are SVD's.

  Attributes:
    temporal: SVD's decoder with temporal ResBlocks, else Stable Diffusion's image decoder.
    post_quant: 1×1 convolution before the decoder (Stable Diffusion's; SVD's has none).
    middle: ResBlocks in the decoder's middle. diffusers has `blocks` there in its temporal decoder:
      attention runs between the first two, what comes after them does not run.
    encode_chunk: frames of a clip that a frozen encoder takes at once, which bounds its memory; 0:
      all.
    scale: factor on latents that gives them about unit variance (svd_model 2.2); 0 while it is
      not yet measured (handoff.latent_scale).
  """
  channels: tuple[int, ...] = (128, 256, 512, 512)
  blocks: int = 2
  latent_channels: int = 4
  groups: int = 32
  temporal: bool = True
  post_quant: bool = False
  middle: int = 2
  encode_chunk: int = 0
  scale: float = 0.18215
  remat: str = 'none'

  @property
  def downscale(self):
    """Pixels per latent along each side."""
    return 2 ** (len(self.channels) - 1)


class SpatialAttention(nnx.Module):
  """Single-head self-attention over the positions of each frame, [n h w c] -> the same."""

  def __init__(self, channels, groups, *, rngs):
    self.group_norm = nn.GroupNorm(channels, 1e-6, groups, rngs=rngs)
    self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels, rngs=rngs) for _ in range(3))
    self.to_out = nnx.List([nn.Linear(channels, channels, rngs=rngs)])

  def __call__(self, x):
    y = rearrange(self.group_norm(x), 'n h w c -> n (h w) 1 c')
    y = attend(self.to_q(y), self.to_k(y), self.to_v(y))
    return x + rearrange(self.to_out[0](y), 'n (h w) 1 c -> n h w c', h=x.shape[1])


def per_frame(layer, x):
  """Applies a layer on [n h w c] to every frame of [b t h w c]."""
  y = layer(rearrange(x, 'b t h w c -> (b t) h w c'))
  return rearrange(y, '(b t) h w c -> b t h w c', b=x.shape[0])


class DecoderResBlock(nnx.Module):
  """ResBlock on each frame and, in the temporal decoder, a temporal ResBlock: b t h w i -> o.

  The blend weighs the temporal side with α = sigmoid(mix_factor), the reverse of the UNet's.
  """

  def __init__(self, i, o, config, *, rngs):
    self.spatial_res_block = ResBlock(i, o, None, 1e-6, config.groups, zero=False, rngs=rngs)
    self.temporal_res_block = (
        TemporalResBlock(o, None, 1e-5, config.groups, rngs=rngs) if config.temporal else None)
    self.time_mixer = AlphaBlender(mix_factor=0., rngs=rngs) if config.temporal else None

  def __call__(self, x):
    x = per_frame(self.spatial_res_block, x)
    if self.temporal_res_block is None:
      return x
    h = x.shape[2]
    x = split.to_pixels(rearrange(x, 'b t h w c -> b t (h w) c'))
    x = split.to_frames(self.time_mixer(self.temporal_res_block(x), x))
    return rearrange(x, 'b t (h w) c -> b t h w c', h=h)


class _Encoder(nnx.Module):
  """Pixels to moments, frame by frame."""

  def __init__(self, config, *, rngs):
    c, g = config.channels, config.groups
    self.config = config
    self.conv_in = nn.Conv(3, c[0], rngs=rngs)
    block = lambda i, o: ResBlock(i, o, None, 1e-6, g, zero=False, rngs=rngs)
    levels = []
    for n, width in enumerate(c):
      first = c[max(n - 1, 0)]
      down = [] if n == len(c) - 1 else [Downsample(width, ((0, 1), (0, 1)), rngs=rngs)]
      levels.append(nnx.Dict({
          'resnets': nnx.List([block(width if j else first, width)
                               for j in range(config.blocks)]),
          'downsamplers': nnx.List(down)}))
    self.down_blocks = nnx.List(levels)
    self.mid_block = nnx.Dict({
        'resnets': nnx.List([block(c[-1], c[-1]) for _ in range(2)]),
        'attentions': nnx.List([SpatialAttention(c[-1], g, rngs=rngs)])})
    self.conv_norm_out = nn.GroupNorm(c[-1], 1e-6, g, rngs=rngs)
    self.conv_out = nn.Conv(c[-1], 2 * config.latent_channels, rngs=rngs)

  def __call__(self, x):
    run = checkpoint(self.config.remat)
    x = self.conv_in(x)
    for level in self.down_blocks:
      for layer in (*level['resnets'], *level['downsamplers']):
        x = run(layer, x)
    mid = self.mid_block
    for layer in (mid['resnets'][0], mid['attentions'][0], mid['resnets'][1]):
      x = run(layer, x)
    return self.conv_out(jax.nn.silu(self.conv_norm_out(x)))


class _Decoder(nnx.Module):
  """Latents to pixels; the temporal decoder mixes the frames of each chunk."""

  def __init__(self, config, *, rngs):
    c = config.channels[::-1]
    self.config = config
    self.conv_in = nn.Conv(config.latent_channels, c[0], rngs=rngs)
    block = lambda i, o: DecoderResBlock(i, o, config, rngs=rngs)
    self.mid_block = nnx.Dict({
        'resnets': nnx.List([block(c[0], c[0]) for _ in range(config.middle)]),
        'attentions': nnx.List([SpatialAttention(c[0], config.groups, rngs=rngs)])})
    levels = []
    for n, width in enumerate(c):
      up = [] if n == len(c) - 1 else [Upsample(width, rngs=rngs)]
      levels.append(nnx.Dict({
          'resnets': nnx.List([block(width if j else c[max(n - 1, 0)], width)
                               for j in range(config.blocks + 1)]),
          'upsamplers': nnx.List(up)}))
    self.up_blocks = nnx.List(levels)
    self.conv_norm_out = nn.GroupNorm(c[-1], 1e-6, config.groups, rngs=rngs)
    self.conv_out = nn.Conv(c[-1], 3, rngs=rngs)
    self.time_conv_out = identity_over_time(3, rngs) if config.temporal else None

  def __call__(self, z):
    run = checkpoint(self.config.remat)
    mid = self.mid_block
    x = run(mid['resnets'][0], per_frame(self.conv_in, z))
    for attention, resnet in zip(mid['attentions'], mid['resnets'][1:]):
      x = run(resnet, per_frame(attention, x))
    for level in self.up_blocks:
      for layer in level['resnets']:
        x = run(layer, x)
      for layer in level['upsamplers']:
        x = per_frame(layer, x)
    x = per_frame(lambda x: self.conv_out(jax.nn.silu(self.conv_norm_out(x))), x)
    if self.time_conv_out is None:
      return x
    y = self.time_conv_out(split.to_pixels(rearrange(x, 'b t h w c -> b t (h w) c')))
    return rearrange(split.to_frames(y), 'b t (h w) c -> b t h w c', h=x.shape[2])


def identity_over_time(channels, rngs):
  """A TemporalConv that starts as the identity, so a fresh temporal decoder is the image's."""
  layer = nn.TemporalConv(channels, channels, zero=True, rngs=rngs)
  layer.kernel[...] = layer.kernel[...].at[1].set(jnp.eye(channels))
  return layer


class VAE(nnx.Module):
  """The autoencoder; `mode` says what runs."""

  def __init__(self, config, *, rngs):
    self.config = config
    z = config.latent_channels
    self.encoder = _Encoder(config, rngs=rngs)
    self.quant_conv = nn.Conv(2 * z, 2 * z, size=1, rngs=rngs)
    self.post_quant_conv = nn.Conv(z, z, size=1, rngs=rngs) if config.post_quant else None
    self.decoder = _Decoder(config, rngs=rngs)

  def __call__(self, x, mode):
    """'encode': frames [n h w 3] in [-1, 1] -> unscaled mean and log variance, [n h/8 w/8 z] each.
    'decode': unscaled latents of one chunk of frames [b t h w z] -> frames [b t 8h 8w 3]."""
    if mode == 'encode':
      mean, log_variance = jnp.split(self.quant_conv(self.encoder(x)), 2, axis=-1)
      return mean, jnp.clip(log_variance, -30., 20.)
    if self.post_quant_conv is not None:
      x = per_frame(self.post_quant_conv, x)
    return self.decoder(x)


@functools.cache
def build(config):
  """A VAEConfig -> nn.Functional, one for each config; apply(params, x, 'encode' | 'decode')."""
  return nn.functional(lambda rngs: VAE(config, rngs=rngs))


def encode(apply, params, video, chunk=0):
  """Posterior mean and log variance of every frame.

  Args:
    apply, params: of the autoencoder.
    video: [b t h w 3] in [-1, 1].
    chunk: at most so many frames of each clip are encoded together, one chunk after the other; 0
      encodes all at once.

  Returns:
    Two [b t h/8 w/8 z], unscaled.
  """
  alone = video.shape[1] == 1  # a conditioning image is not shared
  video = video if alone else split.frames(video)
  moments = _encode(apply, params, video, chunk)
  return tuple(moments if alone else map(split.whole, moments))


def _encode(apply, params, video, chunk):
  def together(video):
    moments = apply(params, rearrange(video, 'b t h w c -> (b t) h w c'), 'encode')
    return [rearrange(m, '(b t) h w c -> b t h w c', b=video.shape[0]) for m in moments]

  frames = video.shape[1]
  chunk = next(c for c in range(min(chunk, frames) or frames, 0, -1) if frames % c == 0)
  if chunk == frames:
    return together(video)
  moments = jax.lax.map(together, rearrange(video, 'b (n t) h w c -> n b t h w c', t=chunk))
  return [rearrange(m, 'n b t h w c -> b (n t) h w c') for m in moments]


def decode(apply, params, latents, chunk=None):
  """Decodes in chunks of frames that do not see each other (svd_model 3.3).

  Args:
    apply, params: of the autoencoder.
    latents: [b t h w z], unscaled.
    chunk: frames decoded together; None decodes all at once.

  Returns:
    [b t 8h 8w 3], about [-1, 1].
  """
  frames = latents.shape[1]
  chunk = chunk or frames
  parts = [split.whole(apply(params, split.frames(latents[:, i:i + chunk]), 'decode'))
           for i in range(0, frames, chunk)]
  return jnp.concatenate(parts, axis=1)
