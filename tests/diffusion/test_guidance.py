"""Guidance: the published scales, and how they combine two denoised clips."""

from hypothesis import given, settings, strategies as st
import jax
import numpy as np
import pytest

from svdjax.diffusion import guidance


def clips():
  return jax.random.normal(jax.random.key(0), (2, 2, 14, 4, 6, 3))  # branch b t h w c


def test_linear_scales_of_svd_and_svd_xt():
  np.testing.assert_allclose(
      guidance.linear(14, 1., 2.5)[[0, 1, 13]], [1, 1.1154, 2.5], atol=5e-5)
  np.testing.assert_allclose(np.diff(guidance.linear(25, 1.5, 3.)), 0.0625, rtol=1e-5)


def test_triangle_scales_of_sv3d():
  rise = 1 + 0.15 * np.arange(11)
  np.testing.assert_allclose(
      guidance.triangle(21, 1., 2.5), [*rise, *rise[9::-1]], rtol=1e-6)


@pytest.mark.parametrize('name, limits', [
    ('constant', (2.,)), ('linear', (1., 3.)), ('triangle', (1., 3.))])
@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 64))
def test_scales_stay_between_their_limits_for_any_length(name, limits, frames):
  scale = guidance.GUIDANCE[name](frames, *limits)
  assert scale.shape == (frames,) and scale.dtype == np.float32
  assert scale[0] == limits[0]
  assert (scale >= limits[0]).all() and (scale <= limits[-1]).all()


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 64))
def test_a_triangle_is_symmetric_in_time(frames):
  scale = guidance.triangle(frames, 1., 2.5)
  np.testing.assert_allclose(scale, scale[::-1], rtol=1e-6)


def test_scale_one_is_the_conditional_and_zero_the_unconditional():
  uncond, cond = clips()
  np.testing.assert_allclose(
      guidance.guide(uncond, cond, guidance.constant(14, 1.)), cond, atol=1e-6)
  np.testing.assert_array_equal(guidance.guide(uncond, cond, guidance.constant(14, 0.)), uncond)


def test_each_frame_is_guided_by_its_own_scale():
  uncond, cond = clips()
  scale = guidance.linear(14, 1., 2.5)
  guided = guidance.guide(uncond, cond, scale)
  for t in 0, 5, 13:
    alone = uncond[:, t] + float(scale[t]) * (cond[:, t] - uncond[:, t])
    np.testing.assert_allclose(guided[:, t], alone, rtol=1e-6)


def test_guidance_is_active_within_its_interval_ends_included():
  sigma = np.float32([0.1, 0.28, 1., 5., 5.1])
  np.testing.assert_array_equal(guidance.active(sigma, np.float32(0.28), 5.),
                                [False, True, True, True, False])


def test_guiding_away_adds_what_the_weak_model_misses():
  guided, cond = clips()
  np.testing.assert_array_equal(guidance.guide_away(guided, cond, cond, 2.), guided)
  np.testing.assert_array_equal(guidance.guide_away(guided, cond, 0 * cond, 2.), guided + 2 * cond)
