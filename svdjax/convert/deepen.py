"""ResBlocks that do nothing, for autoencoders with fewer in a level than diffusers has.

Its temporal decoder has as many ResBlocks in the middle as layers_per_block says of each level.
"""

import numpy as np

from svdjax.core import weights


class Deepened:
  """Tensors of a deeper autoencoder: those of `source`, and zeros for the ResBlocks it lacks.

  A ResBlock of zeros adds nothing to its input, nor does its temporal part, and the mean of both,
  which a mix factor of zero takes, is that input.

  Args:
    source: weights.Weights or Saved of the autoencoder.
    shapes: {name: shape} of the deeper one.
  """

  def __init__(self, source, shapes):
    dtype = next(spec.dtype for spec in source.specs.values())
    self.specs = {n: weights.Spec(tuple(shape), dtype) for n, shape in shapes.items()}
    self._source = source

  def read(self, name):
    """One tensor as a numpy array."""
    if name in self._source.specs:
      return self._source.read(name)
    return np.zeros(*self.specs[name])
