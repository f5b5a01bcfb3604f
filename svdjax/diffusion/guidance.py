"""Classifier-free guidance with one scale per frame: scales are [t] float32."""

import jax.numpy as jnp
import numpy as np


def constant(frames, scale):
  """The same scale for each frame."""
  return np.full(frames, scale, np.float32)


def linear(frames, low, high):
  """From `low` at the conditioning frame to `high` at the last one (SVD appendix D, fig. 16)."""
  return np.linspace(low, high, frames).astype(np.float32)


def triangle(frames, low, high):
  """From `low` up to `high` in the middle and back, for closed orbits (SV3D section 3)."""
  u = np.linspace(0, 1, frames)
  return (low + (high - low) * 2 * np.abs(u - np.floor(u + 0.5))).astype(np.float32)


GUIDANCE = {'constant': constant, 'linear': linear, 'triangle': triangle}


def guide(uncond, cond, scale):
  """D = D_u + s_t (D_c - D_u) (SVD appendix D).

  Args:
    uncond: [b t ...] denoised clips without the condition.
    cond: the same with it.
    scale: [t], one scale per frame.
  """
  axes = (0, *range(2, cond.ndim))
  scale = jnp.expand_dims(jnp.asarray(scale, cond.dtype), axes)
  return uncond + scale * (cond - uncond)


def active(sigma, low, high):
  """Whether guidance applies at these noise levels: low <= sigma <= high, bool like sigma.

  Outside the interval the conditional model alone is used (Kynkäänniemi et al. 2404.07724).
  """
  return (sigma >= low) & (sigma <= high)


def guide_away(guided, cond, weak, scale):
  """D + s (D_c - D_w): away from what the model predicts with some of its layers skipped.

  Skip-layer, or spatio-temporal skip guidance (STG, 2411.18664).

  Args:
    guided: [b t ...] denoised clips after `guide`.
    cond: those of the conditional model.
    weak: those of the same model with layers skipped.
    scale: a number; 0 is none.
  """
  return guided + scale * (cond - weak)
