"""Tensors of a network one by one from one layout to another, by the table of names."""

import re
from typing import NamedTuple

import numpy as np

from svdjax.convert import table
from svdjax.core import weights
from svdjax.core.errors import BadInput


class Entry(NamedTuple):
  """A tensor of ours, or one layer of a stacked one, and its place in the other layout."""
  ours: str
  layer: int | None
  there: table.Place


def depth(network, sizes, vae=3):
  """The table.Depth of a network with these sizes; `vae` is its index among sgm's conditioners."""
  if network == 'unet':
    return table.Depth(sizes['blocks'], tuple(sizes['attention']), len(sizes['channels']),
                       sizes['temporal'] != 'none')
  if network == 'vae':
    return table.Depth(sizes['blocks'], (), len(sizes['channels']), sizes['temporal'], vae)
  return table.Depth()


class Mapping:
  """How one network is written in another layout.

  Args:
    network: its name.
    shapes: {name with the network: shape} of ours.
    dialect: 'diffusers' or 'sgm'.
    depth: table.Depth of the network.

  Attributes:
    entries: of all tensors, in the order of `shapes`.
    shapes: of ours.
    theirs: {their name: shape}.
  """

  def __init__(self, network, shapes, dialect, depth):
    self.network, self.dialect = network, dialect
    self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
    self.entries, self.theirs, self._pieces = [], {}, {}
    for name, shape in self.shapes.items():
      stacked = '/layers/' in name
      for layer in range(shape[0]) if stacked else (None,):
        own = shape[1:] if stacked else shape
        there = table.place(name, len(own), dialect, depth, layer)
        self.entries.append(Entry(name, layer, there))
        self._pieces.setdefault(there.name, []).append(self.entries[-1])
        size = table.their_shape(own, there.layout)
        if there.part is not None:
          size = (table.PARTS * size[0], *size[1:])
        self.theirs[there.name] = size

  def check(self, specs, where):
    """Refuses a file that is not exactly this network.

    Args:
      specs: {their name: Spec, or None where its type is not read} of all that could belong to
        the network.
      where: the file, for the message.

    Raises:
      BadInput: names the first tensors that are missing, extra or misshapen.
    """
    wrong = [f'{name} {weights.UNREAD if name in specs else "is missing"}'
             for name in self.theirs if specs.get(name) is None]
    wrong += [f'{name} has shape {specs[name].shape} where {shape} is needed'
              for name, shape in self.theirs.items()
              if specs.get(name) is not None and specs[name].shape != shape]
    wrong += [f'{name} has no place in this model' for name in specs if name not in self.theirs]
    if wrong:
      more = f' (and {len(wrong) - 3} more)' if len(wrong) > 3 else ''
      raise BadInput(f'{where}: {"; ".join(wrong[:3])}{more}: the file is incomplete, quantised '
                     'or of a model that svdjax does not have')

  def ours_specs(self, dtype):
    """{our name: Spec}; `dtype` is a numpy dtype."""
    return {name: weights.Spec(shape, dtype) for name, shape in self.shapes.items()}

  def their_specs(self, dtype):
    """{their name: Spec}; `dtype` is a numpy dtype."""
    return {name: weights.Spec(shape, dtype) for name, shape in self.theirs.items()}

  def to_ours(self, source, dtype):
    """Yields (name, array) of ours in the order of `shapes`, stacked ones layer by layer.

    Args:
      source: weights.Weights of their names.
      dtype: numpy dtype to cast to.
    """
    for entry in self.entries:
      there = entry.there
      array = source.read(there.name)
      if there.part is not None:
        array = np.split(array, table.PARTS)[there.part]
      yield entry.ours, weights.cast(table.to_ours(array, there.layout), dtype, there.name)

  def to_theirs(self, source, dtype):
    """Yields (name, array) of theirs in the order of `theirs`.

    Args:
      source: weights.Weights or Loaded of our names.
      dtype: numpy dtype to cast to.
    """
    for name in self.theirs:
      yield name, weights.cast(self.tensor(source, name), dtype, name)

  def tensor(self, source, name):
    """One tensor by its name there, in the dtype of `source`."""
    pieces = sorted(self._pieces[name], key=lambda entry: entry.there.part or 0)
    arrays = []
    for ours, layer, there in pieces:
      array = source.read(ours) if layer is None else source.row(ours, layer)
      arrays.append(table.to_theirs(array, there.layout))
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def spelling(name, network):
  """A tensor's name as the table spells it, from that of any version of the PyTorch libraries."""
  for pattern, replacement in table.OTHER_SPELLINGS.get(network, ()):
    name = re.sub('^' + pattern, replacement, name)
  return name
