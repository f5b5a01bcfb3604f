"""The Inception score of class probabilities."""

import numpy as np

_LEAST = 100  # logits of a part: the score of fewer is bounded by their number


def parts_of(n, splits=10):
  """Into how many parts n logits are split: at most `splits`, each of 100 or more, and at least 1.

  The score of k logits is at most k, so that of one logit a part is 1 whatever it is of.
  """
  return max(1, min(splits, n // _LEAST))


def inception_score(logits, splits=10):
  """exp E KL(p(y|x) ‖ p(y)) (Salimans et al. 1606.03498): from 1 to the number of classes.

  Published scores of UCF-101 are of a C3D trained on it; those of another network are its own.

  Args:
    logits: [n classes] of any classifier.
    splits: parts that are scored one by one, fewer where n is small (`parts_of`).

  Returns:
    (mean, standard deviation) over the parts.
  """
  x = np.asarray(logits, np.float64)
  x = x - x.max(1, keepdims=True)
  log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
  scores = []
  for part in np.array_split(log_p, parts_of(len(log_p), splits)):
    p = np.exp(part)
    log_mean = np.log(p.mean(0, keepdims=True))
    scores.append(np.exp((p * (part - log_mean)).sum(1).mean()))
  return float(np.mean(scores)), float(np.std(scores))
