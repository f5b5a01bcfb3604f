"""The learned latent that stands for frames which are not given (SVD appendix D.5)."""

import dataclasses

from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.models import nn


@dataclasses.dataclass(frozen=True)
class MaskConfig:
  """Sizes of the mask latent: those of the latents it was trained beside."""
  height: int
  width: int
  channels: int


class MaskLatent(nnx.Module):
  """m [h w c], for all masked frames alike. It starts at zero."""

  def __init__(self, config, *, rngs):
    del rngs
    self.latent = nnx.Param(jnp.zeros((config.height, config.width, config.channels)))

  def __call__(self, height, width):
    """m at a size in latent pixels, resized bilinearly where it is not its own: [h w c] fp32."""
    latent = self.latent[...]
    if latent.shape[:2] == (height, width):
      return latent
    return jax.image.resize(latent, (height, width, latent.shape[-1]), 'bilinear')


def build(config):
  """A MaskConfig -> nn.Functional."""
  return nn.functional(lambda rngs: MaskLatent(config, rngs=rngs))
