"""SSIM and PSNR beside scikit-image, and where they are known."""

import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.metrics import quality
from svdjax.metrics.ssim import ssim


def pair(shape, noise=20):
  rng = np.random.default_rng(0)
  a = rng.integers(0, 256, shape).astype(np.uint8)
  return a, np.clip(a + rng.normal(0, noise, shape), 0, 255).astype(np.uint8)


def test_equal_frames_are_one_and_inverted_ones_below_zero():
  a, _ = pair((2, 3, 16, 20, 3))
  np.testing.assert_allclose(ssim(a, a), [1, 1], atol=1e-6)
  assert (ssim(255 - a, a) < 0).all()


def test_a_constant_shift_of_flat_frames_has_a_closed_form():
  a, b = np.full((1, 12, 12, 3), 100, np.uint8), np.full((1, 12, 12, 3), 140, np.uint8)
  c1 = (0.01 * 255) ** 2
  np.testing.assert_allclose(ssim(a, b), (2 * 100 * 140 + c1) / (100**2 + 140**2 + c1), rtol=1e-5)


def test_frames_smaller_than_the_window():
  with pytest.raises(BadInput, match='too small for SSIM'):
    ssim(*pair((1, 8, 20, 3)))


def test_both_agree_with_scikit_image():
  """fp32 sums of 121 products: 2e-5."""
  metrics = pytest.importorskip('skimage.metrics')
  a, b = pair((3, 2, 24, 31, 3))
  for x, y, got_ssim, got_psnr in zip(a, b, ssim(b, a), quality.psnr(b, a)):
    want = [metrics.structural_similarity(i, j, data_range=255, channel_axis=-1, sigma=1.5,
                                          gaussian_weights=True, use_sample_covariance=False)
            for i, j in zip(x, y)]
    np.testing.assert_allclose(got_ssim, np.mean(want), atol=2e-5)
    np.testing.assert_allclose(got_psnr, metrics.peak_signal_noise_ratio(x, y), rtol=1e-9)
