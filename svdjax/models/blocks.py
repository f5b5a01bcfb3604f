"""Spatial blocks: ResBlock, transformer block, up- and downsampling, all frame by frame."""

from einops import rearrange
from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.models.attention import Attention, FeedForward
from svdjax.models.nn import Conv, GroupNorm, LayerNorm, Linear


class ResBlock(nnx.Module):
  """GN-silu-conv twice, plus skip (svd_model 1.4 spatial part; without `emb_dim`, the VAE's)."""

  def __init__(self, i, o, emb_dim, eps, groups, zero=True, *, rngs):
    self.norm1, self.conv1 = GroupNorm(i, eps, groups, rngs=rngs), Conv(i, o, rngs=rngs)
    self.time_emb_proj = Linear(emb_dim, o, rngs=rngs) if emb_dim else None
    self.norm2 = GroupNorm(o, eps, groups, rngs=rngs)
    self.conv2 = Conv(o, o, zero=zero, rngs=rngs)
    self.conv_shortcut = Conv(i, o, size=1, rngs=rngs) if i != o else None

  def __call__(self, x, emb=None):
    """x [n h w i], emb [n e] -> [n h w o]."""
    y = self.conv1(jax.nn.silu(self.norm1(x)))
    if self.time_emb_proj is not None:
      y = y + self.time_emb_proj(jax.nn.silu(emb))[:, None, None]
    y = self.conv2(jax.nn.silu(self.norm2(y)))
    return y + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class TransformerBlock(nnx.Module):
  """Self-attention, cross-attention and GEGLU over the positions of each frame (svd_model 1.5)."""

  def __init__(self, dim, head_dim, context_dim, *, rngs):
    self.norm1, self.attn1 = LayerNorm(dim, rngs=rngs), Attention(dim, head_dim, rngs=rngs)
    self.norm2 = LayerNorm(dim, rngs=rngs)
    self.attn2 = Attention(dim, head_dim, context_dim, rngs=rngs)
    self.norm3, self.ff = LayerNorm(dim, rngs=rngs), FeedForward(dim, rngs=rngs)

  def __call__(self, x, context):
    """x [b t s c]; context [b k e] of the clip or [b t k e] of each frame -> [b t s c]."""
    b, t, s, _ = x.shape
    frames = rearrange(x, 'b t s c -> (b t) s c')
    frames = frames + self.attn1(self.norm1(frames))
    if context.ndim == 3:  # keys and values of a clip's context are computed once, not per frame
      clips = rearrange(frames, '(b t) s c -> b (t s) c', b=b)
      y = self.attn2(self.norm2(clips), context)
      frames = frames + rearrange(y, 'b (t s) c -> (b t) s c', t=t, s=s)
    else:
      context = rearrange(context, 'b t k e -> (b t) k e')
      frames = frames + self.attn2(self.norm2(frames), context)
    frames = frames + self.ff(self.norm3(frames))
    return rearrange(frames, '(b t) s c -> b t s c', b=b)


class Downsample(nnx.Module):
  """Stride-2 convolution [n h w c] -> [n h/2 w/2 c].

  `padding` is symmetric in the UNet and bottom/right only in the VAE.
  """

  def __init__(self, channels, padding, *, rngs):
    self.conv = Conv(channels, channels, stride=2, padding=padding, rngs=rngs)

  def __call__(self, x):
    return self.conv(x)


class Upsample(nnx.Module):
  """Nearest neighbour times two, then a convolution: [n h w c] -> [n 2h 2w c]."""

  def __init__(self, channels, *, rngs):
    self.conv = Conv(channels, channels, rngs=rngs)

  def __call__(self, x):
    n, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c))
    return self.conv(rearrange(x, 'n h i w j c -> n (h i) (w j) c'))
