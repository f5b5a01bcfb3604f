"""Elo and Bradley-Terry: the formulas, and how well they find a known order."""

from hypothesis import given, strategies as st
import numpy as np
import pytest

from data.preference import ranking


def play(strengths, games, seed):
  """Votes of games between models of known Elo strengths."""
  rng, votes = np.random.default_rng(seed), []
  for _ in range(games):
    a, b = sorted(rng.choice(len(strengths), 2, replace=False))
    wins = rng.random() < 1 / (1 + 10 ** ((strengths[b] - strengths[a]) / 400))
    votes.append({'model_a': f'm{a}', 'model_b': f'm{b}', 'winner': 'a' if wins else 'b'})
  return votes


def test_one_game_of_elo_is_the_papers_formula():
  rows = ranking.rank([{'model_a': 'x', 'model_b': 'y', 'winner': 'b'}])
  assert [(r['model'], r['elo']) for r in rows] == [('y', 1000.5), ('x', 999.5)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])),
                min_size=1, max_size=30))
def test_elo_takes_what_it_gives(games):
  first, second, score = (np.array(x) for x in zip(*[g for g in games if g[0] != g[1]] or
                                                   [(0, 1, 1.0)]))
  ratings = ranking.elo(first, second, score, 4, np.arange(len(first))[None])
  assert ratings.sum() == pytest.approx(4 * ranking.START)


def test_bradley_terry_finds_the_shares_of_wins():
  wins = np.array([[[0, 750.0], [250.0, 0]]])
  strong, weak = ranking.bradley_terry(wins)[0]
  assert strong - weak == pytest.approx(400 * np.log10(3), rel=0.01)
  assert strong + weak == pytest.approx(2 * ranking.START)


def test_known_strengths_are_found():
  truth = np.linspace(800, 1200, 6)
  rows = {r['model']: r for r in ranking.rank(play(truth, 800, seed=1))}
  found = np.array([[rows[f'm{i}'][k] for k in ('elo', 'bt', 'bt_low', 'bt_high')]
                    for i in range(6)])
  ranks = lambda x: np.argsort(np.argsort(x))
  for column in (0, 1):
    assert np.corrcoef(ranks(found[:, column]), np.arange(6))[0, 1] > 0.93
  inside = (found[:, 2] <= truth) & (truth <= found[:, 3])
  assert inside.sum() >= 5
  assert np.abs(found[:, 1] - truth).max() < 60


def test_a_model_that_never_wins_has_a_finite_rank():
  rows = ranking.rank([{'model_a': 'x', 'model_b': 'y', 'winner': 'a'}] * 20)
  assert all(np.isfinite(r[k]) for r in rows for k in r if k != 'model')
  assert rows[0]['bt_low'] > rows[1]['bt_high']


def test_ties_are_half_a_win():
  rows = ranking.rank([{'model_a': 'x', 'model_b': 'y', 'winner': 'tie'}] * 5)
  assert {r['elo'] for r in rows} == {1000.0} and {r['wins'] for r in rows} == {2.5}
