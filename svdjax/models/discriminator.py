"""A patch discriminator of clips, of 3-D convolutions (Align your Latents, 2304.08818, sec. 3.1.1).

It sees frames together, so that flicker, which no single frame shows, gives a decoder away.
"""

import dataclasses

from flax import nnx
import jax
from jax import lax
import jax.numpy as jnp

from svdjax.models import nn


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
  """Sizes: each of `channels` is a layer that halves height and width."""
  channels: tuple[int, ...]
  groups: int


class Conv3d(nnx.Module):
  """[b t h w i] -> [b t h' w' o]: 3 taps in time, `size` in space; kernel (3, k, k, i, o)."""

  def __init__(self, i, o, size, stride, *, rngs):
    fan_in = 3 * size * size * i
    self.kernel = nnx.Param(nn.uniform(rngs.params(), (3, size, size, i, o), fan_in))
    self.bias = nnx.Param(jnp.zeros((o,)))
    self.stride = stride

  def __call__(self, x):
    y = lax.conv_general_dilated(
        x, self.kernel[...].astype(x.dtype), (1, self.stride, self.stride), ((1, 1),) * 3,
        dimension_numbers=('NDHWC', 'DHWIO', 'NDHWC'))
    return y + nn.along_last(self.bias[...], y)


class Discriminator(nnx.Module):
  """PatchGAN in three dimensions: 4x4 convolutions of stride 2, norms after all but the first."""

  def __init__(self, config, *, rngs):
    widths = (3, *config.channels)
    self.layers = nnx.List(
        [Conv3d(i, o, 4, 2, rngs=rngs) for i, o in zip(widths, widths[1:])])
    self.norms = nnx.List(
        [nn.GroupNorm(o, 1e-5, config.groups, rngs=rngs) for o in widths[2:]])
    self.logits = Conv3d(widths[-1], 1, 3, 1, rngs=rngs)

  def __call__(self, video):
    """video [b t h w 3] in [-1, 1] -> logits of patches [b t h' w'], positive for true ones."""
    x = jax.nn.leaky_relu(self.layers[0](video), 0.2)
    for layer, norm in zip(list(self.layers)[1:], self.norms):
      x = jax.nn.leaky_relu(norm(layer(x)), 0.2)
    return self.logits(x)[..., 0]


def build(config):
  """A DiscriminatorConfig -> nn.Functional."""
  return nn.functional(lambda rngs: Discriminator(config, rngs=rngs))
