"""Structural similarity (Wang et al. 2004)."""

from einops import rearrange
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from svdjax.core.errors import BadInput

_RADIUS, _SIGMA = 5, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(output, truth):
  """Mean SSIM of each clip or frame: uint8 [n ... h w 3] twice -> [n] float64.

  Per channel, with a Gaussian window of 11 pixels and sigma 1.5, over positions where it fits.

  Raises:
    BadInput: frames smaller than the window.
  """
  height, width = output.shape[-3:-1]
  if min(height, width) < 2 * _RADIUS + 1:
    raise BadInput(f'frames of {height}x{width} are too small for SSIM: use at least '
                   f'{2 * _RADIUS + 1} pixels a side')
  planes = lambda x: jnp.asarray(np.ascontiguousarray(rearrange(
      x.reshape((-1,) + x.shape[-3:]), 'n h w c -> (n c) h w')))
  of_planes = np.asarray(_of_planes(planes(output), planes(truth)), np.float64)
  return of_planes.reshape(len(output), -1).mean(axis=1)


@jax.jit
def _of_planes(a, b):
  """[n h w] uint8 twice -> [n]."""
  a, b = (x.astype(jnp.float32) - 127.5 for x in (a, b))  # near 0, where squares are exact
  mean_a, mean_b = _blur(a), _blur(b)
  var_a, var_b = _blur(a * a) - mean_a ** 2, _blur(b * b) - mean_b ** 2
  covariance = _blur(a * b) - mean_a * mean_b
  mean_a, mean_b = mean_a + 127.5, mean_b + 127.5
  similarity = ((2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
                / ((mean_a ** 2 + mean_b ** 2 + _C1) * (var_a + var_b + _C2)))
  return similarity.mean((1, 2))


def _blur(x):
  """Gaussian means [n h w] -> [n h-10 w-10]."""
  weights = np.exp(-np.arange(-_RADIUS, _RADIUS + 1) ** 2 / (2 * _SIGMA ** 2))
  kernel = jnp.asarray(weights / weights.sum(), jnp.float32)
  for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
    x = lax.conv_general_dilated(x[..., None], kernel.reshape(shape), (1, 1), 'VALID',
                                 dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
                                 precision=lax.Precision.HIGHEST)[..., 0]
  return x
