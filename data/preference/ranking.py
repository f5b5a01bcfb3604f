"""From votes to ranks: Elo as the paper, and Bradley-Terry, both with intervals."""

import numpy as np

START, K, SHUFFLES = 1000.0, 1.0, 1000  # SVD, appendix E.1
_SCALE = 400 / np.log(10)  # of Elo: ten to one is 400 points
_STEPS = 500
_PRIOR = 0.5  # a win and a loss of this weight for each pair, so that no rank is infinite; ours
SCORE = {'a': 1.0, 'b': 0.0, 'tie': 0.5}  # of model_a; the paper has no ties


def table(votes):
  """Votes as numbers.

  Returns:
    (names, first [n], second [n], score [n]): sorted model names, indices into them, and what the
    first scored.
  """
  names = sorted({v['model_a'] for v in votes} | {v['model_b'] for v in votes})
  place = {name: i for i, name in enumerate(names)}
  first, second = (np.array([place[v[m]] for v in votes], int) for m in ('model_a', 'model_b'))
  return names, first, second, np.array([SCORE[v['winner']] for v in votes], np.float64)


def elo(first, second, score, count, orders):
  """Ratings after each of several sequences of games: R' = R + K (S - E).

  Args:
    first, second, score: [n], see `table`.
    count: number of models.
    orders: int [m n], indices of games in the order they are played.

  Returns:
    float64 [m count].
  """
  ratings, rows = np.full((len(orders), count), START), np.arange(len(orders))
  for games in orders.T:
    a, b = first[games], second[games]
    expected = 1 / (1 + 10 ** ((ratings[rows, b] - ratings[rows, a]) / 400))
    gain = K * (score[games] - expected)
    ratings[rows, a] += gain
    ratings[rows, b] -= gain
  return ratings


def bradley_terry(wins):
  """Strengths on Elo's scale, the most likely ones (Hunter 2004, eq. 3), with mean START.

  Args:
    wins: float [m n n], wins[i, j] of i over j.

  Returns:
    float64 [m n].
  """
  n = wins.shape[-1]
  met = (wins + wins.swapaxes(-1, -2)) > 0
  wins = wins + _PRIOR * met
  games, won = wins + wins.swapaxes(-1, -2), wins.sum(-1)
  strength = np.ones(wins.shape[:-1])
  for _ in range(_STEPS):
    pairs = strength[..., :, None] + strength[..., None, :]
    strength = won / (games / pairs * (1 - np.eye(n))).sum(-1).clip(1e-12)
    strength /= np.exp(np.log(strength.clip(1e-12)).mean(-1, keepdims=True))
  return START + _SCALE * np.log(strength)


def _wins(first, second, score, count, weights):
  """float [m count count] for game weights [m n]."""
  wins = np.zeros((len(weights), count, count))
  for row, weight in zip(wins, weights):
    np.add.at(row, (first, second), weight * score)
    np.add.at(row, (second, first), weight * (1 - score))
  return wins


def rank(votes, seed=0):
  """Ratings of all models with 95 % intervals, the best first.

  Elo is the mean over SHUFFLES random orders of all votes, as in the paper; its interval, and that
  of Bradley-Terry, is of as many resamples of the votes, as orders alone say nothing of chance.

  Args:
    votes: rows of one axis without attention checks, not empty.
    seed: of the orders and resamples.

  Returns:
    [{'model', 'elo', 'elo_low', 'elo_high', 'bt', 'bt_low', 'bt_high', 'votes', 'wins'}].
  """
  names, first, second, score = table(votes)
  rng, n = np.random.default_rng(seed), len(votes)
  orders = np.argsort(rng.random((SHUFFLES, n)), axis=1)
  resampled = rng.integers(0, n, (SHUFFLES, n))
  ratings = elo(first, second, score, len(names), orders).mean(axis=0)
  spread = np.percentile(elo(first, second, score, len(names), resampled), [2.5, 97.5], axis=0)
  weights = np.stack([np.bincount(row, minlength=n) for row in resampled])
  strengths = bradley_terry(_wins(first, second, score, len(names), np.ones((1, n))))[0]
  bt = np.percentile(bradley_terry(_wins(first, second, score, len(names), weights)), [2.5, 97.5],
                     axis=0)
  rows = [{'model': name, 'elo': ratings[i], 'elo_low': spread[0, i], 'elo_high': spread[1, i],
           'bt': strengths[i], 'bt_low': bt[0, i], 'bt_high': bt[1, i],
           'votes': int(((first == i) | (second == i)).sum()),
           'wins': float(score[first == i].sum() + (1 - score[second == i]).sum())}
          for i, name in enumerate(names)]
  return sorted(({k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()}
                 for row in rows), key=lambda r: -r['elo'])
