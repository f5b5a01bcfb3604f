"""Fidelity to a true clip."""

import numpy as np


def psnr(output, truth):
  """Peak signal-to-noise ratio in dB of each clip or frame, uint8 [n ...] twice -> [n] float64.

  10 log10(255² / MSE) over all axes but the first; equal inputs give infinity.
  """
  difference = np.asarray(output, np.float64) - np.asarray(truth, np.float64)
  error = np.square(difference).reshape(len(difference), -1).mean(axis=1)
  with np.errstate(divide='ignore'):
    return 10 * np.log10(255. ** 2 / error)


def rank_correlation(x, y):
  """Spearman's rank correlation of two sequences, ties sharing their mean rank; nan if constant."""
  ranks = []
  for values in (np.asarray(x, float), np.asarray(y, float)):
    below = (values[:, None] > values[None]).sum(1)
    ranks.append(below + ((values[:, None] == values[None]).sum(1) - 1) / 2)
  a, b = (r - r.mean() for r in ranks)
  norm = np.sqrt((a @ a) * (b @ b))
  return float(a @ b / norm) if norm else float('nan')
