"""The spatio-temporal UNet of Stable Video Diffusion (svd_model 1), and SD 2.1's with 'none'."""

import dataclasses
import functools

from einops import rearrange
from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.core import split
from svdjax.models import nn
from svdjax.models.blocks import Downsample, ResBlock, TransformerBlock, Upsample
from svdjax.models.remat import checkpoint
from svdjax.models.temporal import MIXERS, AlphaBlender, FramePosition


@dataclasses.dataclass(frozen=True)
class UNetConfig:
  """Sizes of the UNet; defaults are SVD's (released configuration).

  Attributes:
    in_channels: noisy latent plus concatenated conditioning.
    attention: for each level, whether its ResBlocks are followed by transformers.
    head_dim: width of an attention head, or of each level's; the middle has the last level's.
    context_dim: width of the cross-attended tokens (CLIP text or image).
    vector_dim: width of the vector conditioning; 0 leaves it out (image models).
    temporal: a name in temporal.MIXERS.
    norm_eps: 'sgm' (the original) or 'diffusers' (differs in some ResBlocks, svd_model 1.7).
    remat: a name in remat.POLICIES, applied to each ResBlock and transformer.
  """
  in_channels: int = 8
  out_channels: int = 4
  channels: tuple[int, ...] = (320, 640, 1280, 1280)
  attention: tuple[bool, ...] = (True, True, True, False)
  blocks: int = 2
  head_dim: int | tuple[int, ...] = 64
  context_dim: int = 1024
  vector_dim: int = 768
  temporal: str = 'svd'
  groups: int = 32
  norm_eps: str = 'sgm'
  remat: str = 'none'

  @property
  def emb_dim(self):
    return 4 * self.channels[0]

  def head_dim_of(self, level):
    """Width of an attention head at a level."""
    return self.head_dim if isinstance(self.head_dim, int) else self.head_dim[level]

  def resnet_eps(self, place, level):
    """GroupNorm epsilon of the ResBlocks at 'down', 'mid' or 'up'."""
    lower = place == 'up' or place == 'down' and self.attention[level]
    return 1e-6 if self.norm_eps == 'diffusers' and lower else 1e-5


class SpatioTemporalResBlock(nnx.Module):
  """A ResBlock on each frame, then the temporal ResBlock, blended (svd_model 1.4)."""

  def __init__(self, i, o, config, eps, *, rngs):
    self.spatial_res_block = ResBlock(i, o, config.emb_dim, eps, config.groups, rngs=rngs)
    make = MIXERS[config.temporal].resnet
    self.temporal_res_block = make and make(o, config.emb_dim, eps, config.groups, rngs=rngs)
    self.time_mixer = make and AlphaBlender(rngs=rngs)

  def __call__(self, x, emb, image_only):
    """x [g t h w i], emb [b t e], image_only [g t] or None -> [g t h w o] (core/split)."""
    b, t, h, _, _ = x.shape
    y = self.spatial_res_block(rearrange(x, 'b t h w c -> (b t) h w c'),
                               rearrange(split.frames(emb), 'b t e -> (b t) e'))
    if self.temporal_res_block is None:
      return rearrange(y, '(b t) h w c -> b t h w c', b=b)
    y = split.to_pixels(rearrange(y, '(b t) h w c -> b t (h w) c', b=b))
    y = self.time_mixer(y, self.temporal_res_block(y, split.each(emb)), image_only)
    return rearrange(split.to_frames(y), 'b t (h w) c -> b t h w c', h=h)


class SpatioTemporalTransformer(nnx.Module):
  """Transformer block over positions, then over frames, blended (svd_model 1.5)."""

  def __init__(self, dim, head_dim, config, *, rngs):
    self.norm = nn.GroupNorm(dim, 1e-6, config.groups, rngs=rngs)
    self.proj_in = nn.Linear(dim, dim, rngs=rngs)
    sizes = (dim, head_dim, config.context_dim)
    self.transformer_blocks = nnx.List([TransformerBlock(*sizes, rngs=rngs)])
    make = MIXERS[config.temporal].transformer
    self.temporal_transformer_blocks = make and nnx.List([make(*sizes, rngs=rngs)])
    self.time_pos_embed = make and FramePosition(dim, rngs=rngs)
    self.time_mixer = make and AlphaBlender(rngs=rngs)
    self.proj_out = nn.Linear(dim, dim, zero=True, rngs=rngs)

  def __call__(self, x, context, temporal_context, image_only):
    """x [g t h w c]; context [g k e] or [g t k e]; temporal_context [g k e] -> [g t h w c]."""
    b, _, h, _, _ = x.shape
    y = self.norm(rearrange(x, 'b t h w c -> (b t) h w c'))
    y = self.proj_in(rearrange(y, '(b t) h w c -> b t (h w) c', b=b))
    y = self.transformer_blocks[0](y, context)
    if self.temporal_transformer_blocks is not None:
      y = split.to_pixels(y)
      position = self.time_pos_embed(y.shape[1], y.dtype)[None, :, None]
      mixed = self.temporal_transformer_blocks[0](y + position, temporal_context)
      y = split.to_frames(self.time_mixer(y, mixed, image_only))
    return x + rearrange(self.proj_out(y), 'b t (h w) c -> b t h w c', h=h)


class Level(nnx.Module):
  """One resolution: ResBlocks, the first `transformers` of them followed by a transformer each,
  and a change of resolution; `place` is 'down', 'mid' or 'up'."""

  def __init__(self, widths, config, place, level, transformers, *, rngs):
    out, eps = widths[-1][1], config.resnet_eps(place, level)
    self.resnets = nnx.List(
        [SpatioTemporalResBlock(i, o, config, eps, rngs=rngs) for i, o in widths])
    self.attentions = nnx.List(
        [SpatioTemporalTransformer(out, config.head_dim_of(level), config, rngs=rngs)
         for _ in range(transformers)])
    down = place == 'down' and level < len(config.channels) - 1
    self.downsamplers = nnx.List(
        [Downsample(out, ((1, 1), (1, 1)), rngs=rngs)] if down else [])
    self.upsamplers = nnx.List(
        [Upsample(out, rngs=rngs)] if place == 'up' and level > 0 else [])


class UNet(nnx.Module):
  """F of the denoiser: predicts v from a scaled noisy latent (svd_model 1.2)."""

  def __init__(self, config, *, rngs):
    c, levels, n = config.channels, len(config.channels), config.blocks
    self.config = config
    self.conv_in = nn.Conv(config.in_channels, c[0], rngs=rngs)
    self.time_embedding = nn.MLPEmbedding(c[0], config.emb_dim, config.emb_dim, rngs=rngs)
    # Starts at zero so that adding vector conditioning to an image model changes nothing.
    self.add_embedding = config.vector_dim and nn.MLPEmbedding(
        config.vector_dim, config.emb_dim, config.emb_dim, zero=True, rngs=rngs) or None

    down, skips, width = [], [c[0]], c[0]
    for i in range(levels):
      widths = [(width if j == 0 else c[i], c[i]) for j in range(n)]
      down.append(Level(widths, config, 'down', i, n * config.attention[i], rngs=rngs))
      skips += [c[i]] * (n if i == levels - 1 else n + 1)
      width = c[i]
    self.down_blocks = nnx.List(down)
    self.mid_block = Level([(width, width)] * 2, config, 'mid', levels - 1, 1, rngs=rngs)
    up = []
    for i in reversed(range(levels)):
      widths = []
      for _ in range(n + 1):
        widths.append((width + skips.pop(), c[i]))
        width = c[i]
      up.append(Level(widths, config, 'up', i, (n + 1) * config.attention[i], rngs=rngs))
    self.up_blocks = nnx.List(up)
    self.conv_norm_out = nn.GroupNorm(c[0], 1e-5, config.groups, rngs=rngs)
    self.conv_out = nn.Conv(c[0], config.out_channels, zero=True, rngs=rngs)

  def embed(self, c_noise, vector, frames, dtype):
    """c_noise [b], vector [b v] or [b t v] or None -> [b t e]."""
    emb = nn.sinusoid(c_noise, self.config.channels[0]).astype(dtype)
    emb = jnp.broadcast_to(self.time_embedding(emb)[:, None],
                           (emb.shape[0], frames, self.config.emb_dim))
    if self.add_embedding is None:
      return emb
    vector = vector if vector.ndim == 3 else vector[:, None]
    return emb + jnp.broadcast_to(self.add_embedding(vector.astype(dtype)), emb.shape)

  def __call__(self, x, c_noise, context, vector=None, image_only=None, temporal_context=None):
    """Predicts F(x; c_noise).

    Args:
      x: [b t h w c] scaled latents with concatenated conditioning; its dtype is computed in.
      c_noise: [b] noise level as the preconditioning gives it.
      context: [b k e] tokens of the clip, or [b t k e] of each frame.
      vector: [b v] or [b t v] embedded scalars (fps, motion, …); None for image models.
      image_only: [b t] bool, frames without temporal mixing; None mixes all.
      temporal_context: [b k e] tokens for temporal layers; by default those of the first frame.

    Returns:
      [b t h w out_channels].
    """
    emb = self.embed(c_noise, vector, x.shape[1], x.dtype)
    if temporal_context is None:
      temporal_context = context if context.ndim == 3 else context[:, 0]
    x, image_only = split.frames(x), split.each(image_only)
    context = split.each(context) if context.ndim == 3 else split.frames(context)
    temporal_context = split.each(temporal_context)
    run = checkpoint(self.config.remat)
    frames = lambda f, x: rearrange(
        f(rearrange(x, 'b t h w c -> (b t) h w c')), '(b t) h w c -> b t h w c', b=x.shape[0])

    def step(level, j, x):
      x = run(level.resnets[j], x, emb, image_only)
      if j < len(level.attentions):
        x = run(level.attentions[j], x, context, temporal_context, image_only)
      return x

    x = frames(self.conv_in, x)
    skips = [x]
    for i, level in enumerate(self.down_blocks):
      with jax.named_scope(f'down_{i}'):
        for j in range(len(level.resnets)):
          x = step(level, j, x)
          skips.append(x)
        for down in level.downsamplers:
          x = frames(down, x)
          skips.append(x)
    with jax.named_scope('mid'):
      x = step(self.mid_block, 1, step(self.mid_block, 0, x))
    for i, level in enumerate(self.up_blocks):
      with jax.named_scope(f'up_{i}'):
        for j in range(len(level.resnets)):
          x = step(level, j, jnp.concatenate([x, skips.pop()], axis=-1))
        for up in level.upsamplers:
          x = frames(up, x)
    return split.whole(frames(lambda x: self.conv_out(jax.nn.silu(self.conv_norm_out(x))), x))


@functools.cache
def build(config):
  """A UNetConfig -> nn.Functional; built once for each config, which takes a second."""
  return nn.functional(lambda rngs: UNet(config, rngs=rngs))
