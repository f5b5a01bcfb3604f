"""Temporal mixers: what happens between frames after each spatial layer.

MIXERS is one table of interchangeable designs; a UNet names one.
"""

from typing import Callable, NamedTuple

from einops import rearrange
from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.core import split
from svdjax.models.attention import Attention, FeedForward
from svdjax.models.nn import GroupNorm, LayerNorm, Linear, MLPEmbedding, TemporalConv, sinusoid


class TemporalResBlock(nnx.Module):
  """ResBlock with (3, 1, 1) convolutions and joint statistics over frames (svd_model 1.4).

  The last convolution starts at zero, so a fresh block is the identity.
  """

  def __init__(self, channels, emb_dim, eps, groups, *, rngs):
    self.norm1 = GroupNorm(channels, eps, groups, rngs=rngs)
    self.conv1 = TemporalConv(channels, channels, rngs=rngs)
    self.time_emb_proj = Linear(emb_dim, channels, rngs=rngs) if emb_dim else None
    self.norm2 = GroupNorm(channels, eps, groups, rngs=rngs)
    self.conv2 = TemporalConv(channels, channels, zero=True, rngs=rngs)

  def __call__(self, x, emb=None):
    """x [b t s c], emb [b t e] -> [b t s c]."""
    y = self.conv1(jax.nn.silu(self.norm1(x, split.mean)))
    if self.time_emb_proj is not None:
      y = y + self.time_emb_proj(jax.nn.silu(emb))[:, :, None]
    return x + self.conv2(jax.nn.silu(self.norm2(y, split.mean)))


class TemporalTransformerBlock(nnx.Module):
  """FF, self-attention over frames, cross-attention and FF at each position (svd_model 1.5.4).

  Projections into the residual start at zero, so a fresh block is the identity. (The original
  starts them like any other layer, which changes an image model that is inflated.)
  """

  def __init__(self, dim, head_dim, context_dim, *, rngs):
    self.norm_in, self.ff_in = LayerNorm(dim, rngs=rngs), FeedForward(dim, zero=True, rngs=rngs)
    self.norm1 = LayerNorm(dim, rngs=rngs)
    self.attn1 = Attention(dim, head_dim, zero=True, rngs=rngs)
    self.norm2 = LayerNorm(dim, rngs=rngs)
    self.attn2 = Attention(dim, head_dim, context_dim, zero=True, rngs=rngs)
    self.norm3, self.ff = LayerNorm(dim, rngs=rngs), FeedForward(dim, zero=True, rngs=rngs)

  def __call__(self, x, context):
    """x [b t s c], context [b k e] of the clip -> [b t s c]."""
    t = x.shape[1]
    x = x + self.ff_in(self.norm_in(x))
    x = x + self.attn1.over_time(self.norm1(x))
    tokens = rearrange(self.norm2(x), 'b t s c -> b (t s) c')
    x = x + rearrange(self.attn2(tokens, context), 'b (t s) c -> b t s c', t=t)
    return x + self.ff(self.norm3(x))


class AlphaBlender(nnx.Module):
  """α·spatial + (1 - α)·temporal with α = sigmoid(mix_factor), and α = 1 on images (svd_model 1.6).

  Written as spatial + (1 - α)(temporal - spatial): exact where both agree.
  """

  def __init__(self, mix_factor=0.5, *, rngs):
    del rngs
    self.mix_factor = nnx.Param(jnp.full((1,), mix_factor, jnp.float32))

  def __call__(self, spatial, temporal, image_only=None):
    """[b t s c] twice, image_only [b t] bool or None -> [b t s c]."""
    weight = jax.nn.sigmoid(-self.mix_factor[...]).astype(spatial.dtype)[:, None, None, None]
    if image_only is not None:
      weight = jnp.where(image_only[:, :, None, None], jnp.zeros_like(weight), weight)
    return spatial + weight * (temporal - spatial)


class FramePosition(MLPEmbedding):
  """Sinusoidal frame index through an MLP: frames t -> [t c]; starts at zero; no maximum t."""

  def __init__(self, channels, *, rngs):
    super().__init__(channels, 4 * channels, channels, zero=True, rngs=rngs)
    self.channels = channels

  def __call__(self, frames, dtype):
    return super().__call__(sinusoid(jnp.arange(frames), self.channels).astype(dtype))


class Mixer(NamedTuple):
  """A temporal design: constructors of the part after a ResBlock and after a transformer block.

  None leaves frames independent at that place.
  """
  resnet: Callable | None
  transformer: Callable | None


MIXERS = {
    'svd': Mixer(TemporalResBlock, TemporalTransformerBlock),
    'convolution': Mixer(TemporalResBlock, None),
    'attention': Mixer(None, TemporalTransformerBlock),
    'none': Mixer(None, None),
}
