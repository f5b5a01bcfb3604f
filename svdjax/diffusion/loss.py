"""The training objective, per clip."""

import itertools
import math

import einops
import jax.numpy as jnp

from svdjax.diffusion.precondition import per_clip


def diffusion_loss(denoise, x0, sigma, noise, weight):
  """lambda(sigma) mean (D(x0 + sigma n; sigma) - x0)^2 (EDM eq. 2 and 8; SVD appendix D).

  Args:
    denoise: function of (x [b ...], sigma [b]), like x.
    x0: [b ...] clean clips, float32.
    sigma: [b] float32, one noise level per clip, the same for all its frames.
    noise: unit Gaussian noise, like x0.
    weight: [b], lambda(sigma) from `precondition.loss_weight`.

  Returns:
    The loss of each clip [b].
  """
  error = denoise(x0 + per_clip(sigma, x0) * noise, sigma) - x0
  return weight * einops.reduce(error ** 2, 'b ... -> b', 'mean')


def loss_by_sigma(loss, sigma, edges):
  """Sums the losses of a batch by noise level, for logging.

  Args:
    loss: [b].
    sigma: [b].
    edges: ascending Python numbers that split 0 to infinity into len(edges) + 1 bins, each with
      its lower edge.

  Returns:
    {'sigma_<low>_<high>': (sum of losses, number of clips)}, float32 scalars.
  """
  bins = {}
  for low, high in itertools.pairwise((0, *edges, math.inf)):
    inside = (sigma >= low) & (sigma < high)
    bins[f'sigma_{low:g}_{high:g}'] = (
        jnp.sum(jnp.where(inside, loss, 0)), jnp.sum(inside.astype(jnp.float32)))
  return bins
