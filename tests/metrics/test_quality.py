"""Figures against their closed forms."""

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from svdjax.metrics import quality

numbers = st.lists(st.integers(-20, 20), min_size=2, max_size=12)


@pytest.mark.parametrize('error', [1, 10, 255])
def test_psnr_of_a_constant_error(error):
  truth = np.zeros((2, 3, 4, 5, 3), np.uint8)
  np.testing.assert_allclose(quality.psnr(truth + np.uint8(error), truth),
                             [20 * np.log10(255 / error)] * 2)


def test_psnr_does_not_wrap_around_in_uint8():
  black, white = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
  assert quality.psnr(black, white) == quality.psnr(white, black) == [0.]


def test_psnr_is_of_each_image_and_at_most_100_dB():
  truth = np.zeros((2, 4, 4, 3), np.uint8)
  output = truth.copy()
  output[1, 0, 0, 0] = 255  # one of 48 values wrong as can be
  np.testing.assert_allclose(quality.psnr(output, truth), [100, 10 * np.log10(48)])
  large = np.zeros((1, 256, 256, 3), np.uint8)
  nearly = large.copy()
  nearly[0, 0, 0, 0] = 1  # 101 dB
  assert quality.psnr(nearly, large) == [100.]


def test_psnr_of_a_clip_is_the_mean_over_its_frames():
  """Errors of 1 and 10 levels: of their squared error together it would be 31.1 dB."""
  truth = np.zeros((1, 2, 4, 5, 3), np.uint8)
  made = truth + np.uint8([1, 10])[None, :, None, None, None]
  assert quality.psnr(made, truth) == pytest.approx(20 * np.log10(255) - 10)


@pytest.mark.parametrize('x, y, expected', [
    ([1, 2, 3], [10, 20, 15], 0.5),
    ([1, 2, 3, 4], [4, 3, 2, 1], -1),
    ([1, 2, 3], [1, 100, 10_000], 1),
    ([1, 1, 2, 2], [1, 2, 1, 2], 0),
    ([1, 2, 2, 3], [1, 2, 3, 4], 4.5 / np.sqrt(4.5 * 5)),  # the tie has mean rank 1.5
])
def test_rank_correlation_of_known_cases(x, y, expected):
  assert quality.rank_correlation(x, y) == pytest.approx(expected)


def test_rank_correlation_with_a_constant_is_undefined():
  assert np.isnan(quality.rank_correlation([1, 1, 1], [1, 2, 3]))


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(numbers)
def test_rank_correlation_is_blind_to_monotone_maps(x):
  hypothesis.assume(len(set(x)) > 1)
  assert quality.rank_correlation(x, np.exp(np.array(x) / 10)) == pytest.approx(1)
  assert quality.rank_correlation(x, -np.array(x) ** 3) == pytest.approx(-1)
