"""The pre-processing of SVD's CLIP image encoder as one matrix per axis.

A Gaussian blur against aliasing, then a bicubic resize that aligns corners: both are linear and
separable, so an image is resized by `rows · image · columnsᵀ`. The aspect ratio is not kept.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def preprocess(images, size):
  """Resizes and normalises images for `clip.build_image`.

  Args:
    images: [b h w 3] in [-1, 1]; any h and w.
    size: side of the square output in pixels.

  Returns:
    [b size size 3] in the dtype of `images` (computed in fp32), per channel of mean 0 and
    deviation 1 over CLIP's training images. Bicubic overshoot is not clipped.
  """
  rows, columns = (jnp.asarray(resize_matrix(n, size)) for n in images.shape[1:3])
  resized = jnp.einsum('yh,bhwc,xw->byxc', rows, images.astype(jnp.float32), columns,
                       precision=jax.lax.Precision.HIGHEST)
  mean, std = (jnp.asarray(v, jnp.float32).reshape(1, 1, 1, 3) for v in (MEAN, STD))
  return (((resized + 1) / 2 - mean) / std).astype(images.dtype)


@functools.lru_cache(maxsize=64)
def resize_matrix(n_in, n_out=224):
  """The weights of n_in pixels in each of n_out: float32 [n_out n_in], rows summing to 1.

  Blurs with sigma = (n_in / n_out - 1) / 2 (not at all when enlarging), then resizes.
  """
  return (_bicubic(n_in, n_out) @ _blur(n_in, n_in / n_out)).astype(np.float32)


def _blur(n, factor):
  """A Gaussian blur with reflecting borders for shrinking by `factor`: [n n]."""
  sigma = max((factor - 1) / 2, 1e-3)
  radius = int(max(4 * sigma, 3)) // 2
  offsets = np.arange(-radius, radius + 1)
  weights = np.exp(-offsets ** 2 / (2 * sigma ** 2))
  sources = np.pad(np.arange(n), radius, mode='reflect')[np.arange(n)[:, None] + offsets + radius]
  return _rows(sources, np.broadcast_to(weights / weights.sum(), sources.shape), n)


def _bicubic(n_in, n_out, a=-0.75):
  """Cubic convolution with the corner pixels aligned and border pixels repeated: [n_out n_in]."""
  centre = np.linspace(0, n_in - 1, n_out)
  taps = np.floor(centre).astype(int)[:, None] + np.arange(-1, 3)
  x = np.abs(centre[:, None] - taps)
  near = (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1
  far = a * (x ** 3 - 5 * x ** 2 + 8 * x - 4)
  return _rows(np.clip(taps, 0, n_in - 1), np.where(x <= 1, near, far), n_in)


def _rows(sources, weights, n):
  """The matrix whose row i has weights[i, j] added at column sources[i, j]: [rows n]."""
  matrix = np.zeros((len(sources), n))
  np.add.at(matrix, (np.arange(len(sources))[:, None], sources), weights)
  return matrix
