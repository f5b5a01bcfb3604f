"""Whether the object of a generated clip is where it truly is, frame by frame."""

import numpy as np

from svdjax.metrics import segment


def object_overlap(made, true, world):
  """Overlap of the object with the true one, both found by the same reader.

  Args:
    made, true: [t h w 3] uint8.
    world: a World.

  Returns:
    Mean intersection over union of soft masks, in 0..1, over the frames whose true object is found,
    0 where it is not found in the made one; nan if it is found in no true frame.
  """
  masks = [segment.objects(frames, world)[1] for frames in (made, true)]
  scores = [_overlap(a, b) for a, b in zip(*masks) if b is not None]
  return float(np.mean(scores)) if scores else float('nan')


def _overlap(mask, true):
  if mask is None:
    return 0.
  both = np.minimum(mask, true).sum()
  return both / (mask.sum() + true.sum() - both)
