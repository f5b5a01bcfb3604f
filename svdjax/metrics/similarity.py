"""Cosine similarities of CLIP embeddings: to captions, to true views, between neighbours in time.

Embeddings have unit length.
"""

import numpy as np


def clipsim(frames, captions):
  """Mean cosine between the frames of a clip and its caption: [n t d], [n d] -> [n].

  CLIPSIM of GODIVA (2104.14806), not scaled: 0.29, not 29.
  """
  return np.einsum('ntd,nd->nt', frames, captions).mean(axis=1)


def clip_score(frames, truths):
  """CLIP-S: mean cosine between frames and the true ones: [n t d] twice -> [n]."""
  return np.einsum('ntd,ntd->nt', frames, truths).mean(axis=1)


def frame_consistency(frames):
  """Mean cosine between neighbouring frames: [n t d] -> [n]; 1 for a still."""
  return clip_score(frames[:, 1:], frames[:, :-1])
