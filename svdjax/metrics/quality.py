"""Fidelity to a true clip."""

import numpy as np

MOST_PSNR = 100.  # dB, ours: of equal images, whose infinity would be that of every mean


def psnr(output, truth):
  """Peak signal-to-noise ratio in dB: uint8 [n ... h w 3] twice -> [n] float64.

  10 log10(255² / MSE) of each image, at most MOST_PSNR; of clips the mean over their images, as the
  literature on videos and on novel views takes it. Where the error varies, that is more than the
  ratio of the MSE of all images together.
  """
  difference = np.asarray(output, np.float64) - np.asarray(truth, np.float64)
  error = np.square(difference).mean(axis=(-3, -2, -1))
  ratio = -10 * np.log10(np.maximum(error / 255. ** 2, 10 ** (-MOST_PSNR / 10)))
  return ratio.reshape(len(ratio), -1).mean(axis=1)


def rank_correlation(x, y):
  """Spearman's rank correlation of two sequences, ties sharing their mean rank; nan if constant."""
  ranks = []
  for values in (np.asarray(x, float), np.asarray(y, float)):
    below = (values[:, None] > values[None]).sum(1)
    ranks.append(below + ((values[:, None] == values[None]).sum(1) - 1) / 2)
  a, b = (r - r.mean() for r in ranks)
  norm = np.sqrt((a @ a) * (b @ b))
  return float(a @ b / norm) if norm else float('nan')
