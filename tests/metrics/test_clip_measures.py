"""Scores over logits and embeddings, and flicker, in closed forms."""

import cv2
import numpy as np
import pytest

from svdjax.metrics import flicker, similarity
from svdjax.metrics.inception_score import inception_score


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_the_score_of_sure_and_varied_answers_is_the_number_of_classes():
  logits = 100 * np.eye(5)[np.arange(50) % 5]
  assert inception_score(logits, splits=1) == pytest.approx((5, 0))
  assert inception_score(logits, splits=10) == pytest.approx((5, 0))


@pytest.mark.parametrize('logits', [np.zeros((20, 5)), 100 * np.eye(5)[np.zeros(20, int)]],
                         ids=['unsure', 'always the same'])
def test_the_score_of_unsure_or_equal_answers_is_one(logits):
  assert inception_score(logits)[0] == pytest.approx(1)


def test_the_score_of_half_sure_answers():
  """p = (3/4, 1/4) or the reverse: the mean is even, and the score exp(ln 2 - H(1/4))."""
  logits = np.log(np.array([[3, 1], [1, 3]] * 10))
  entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
  assert inception_score(logits, 1)[0] == pytest.approx(np.exp(np.log(2) - entropy))


def test_similarities_are_mean_cosines():
  frames = unit(np.random.default_rng(0).standard_normal((3, 4, 8)))
  np.testing.assert_allclose(similarity.clipsim(frames, frames[:, 0]),
                             np.einsum('ntd,nd->nt', frames, frames[:, 0]).mean(1))
  np.testing.assert_allclose(similarity.clip_score(frames, frames), 1)
  still = np.repeat(frames[:, :1], 4, axis=1)
  np.testing.assert_allclose(similarity.frame_consistency(still), 1)
  assert (similarity.frame_consistency(frames) < 0.99).all()


def texture(side=96):
  rng = np.random.default_rng(0)
  noise = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), 3)
  return np.clip(128 + 60 * noise / noise.std(), 0, 255)


def clip(shifts, gain=()):
  """A window that moves over a texture by `shifts` pixels, brightened by `gain` grey levels."""
  world = texture()
  rows = [world[16:64, 10 + s:74 + s] for s in shifts]
  rows = [r + g for r, g in zip(rows, gain or [0] * len(rows))]
  return np.repeat(np.clip(rows, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def test_motion_is_change_but_no_flicker():
  moving, flickering = clip([0, 2, 4, 6]), clip([0] * 4, [0, 12, 0, 12])
  assert flicker.change(moving) > 5
  assert flicker.warp_error(moving) < 0.35 * flicker.change(moving)
  assert flicker.warp_error(flickering) == pytest.approx(12, rel=0.25)
  assert flicker.change(flickering) == pytest.approx(12, rel=0.1)


def test_a_still_and_a_single_frame_do_not_change():
  assert flicker.change(clip([0, 0])) == flicker.warp_error(clip([0, 0])) == 0
  assert flicker.change(clip([0])) == flicker.warp_error(clip([0])) == 0


def test_an_error_that_stays_does_not_flicker():
  """A decoder that is always 5 levels too bright against one that is so in every other frame."""
  truth = clip([0, 2, 4, 6]) // 2
  always, sometimes = truth + 5, truth.copy()
  sometimes[::2] += 5
  assert flicker.error_change(always, truth) == 0
  assert flicker.error_change(sometimes, truth) == 5
  assert flicker.error_change(truth[:1] + 5, truth[:1]) == 0
