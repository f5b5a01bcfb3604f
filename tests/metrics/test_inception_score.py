"""The Inception score of few clips, which parts of one clip each would hide."""

import numpy as np
import pytest

from svdjax.metrics.inception_score import inception_score, parts_of


@pytest.mark.parametrize('n', [8, 16, 150])
def test_classes_that_are_sure_and_all_distinct_score_their_number(n):
  score, deviation = inception_score(100 * np.eye(n))
  assert score == pytest.approx(n) and deviation == 0


@pytest.mark.parametrize('n, splits, parts', [
    (1, 10, 1), (8, 10, 1), (199, 10, 1), (200, 10, 2), (999, 10, 9), (13_320, 10, 10),
    (13_320, 1, 1)])
def test_a_part_has_a_hundred_or_more_unless_there_are_fewer(n, splits, parts):
  assert parts_of(n, splits) == parts


def test_parts_are_scored_one_by_one():
  """Two halves of a class each: one score of 2 whole, and of 1 by halves."""
  logits = 100 * np.repeat(np.eye(2), 100, axis=0)
  assert inception_score(logits, 1)[0] == pytest.approx(2)
  assert inception_score(logits, 2) == pytest.approx((1, 0))
