"""A table of a model's parameters, grouped by the part of the model they belong to."""

import collections
import math

DEPTH = 3  # components of a name that make a part: unet/down_blocks/0


def parameter_overview(params, trainable_names=None):
  """The tensors, parameters and trainable share of each part of a model, as lines of text.

  Args:
    params: {name: array or ShapeDtypeStruct}, names joined by '/'.
    trainable_names: the names that are trained; all by default.

  Returns:
    A table with one row per part, in order of first appearance, and one for the total.
  """
  trainable = set(params if trainable_names is None else trainable_names)
  parts = collections.defaultdict(list)
  for name in params:
    parts['/'.join(name.split('/')[:-1][:DEPTH]) or name].append(name)
  rows = [('part', 'tensors', 'parameters', 'trainable')]
  rows += [_row(part, names, params, trainable) for part, names in parts.items()]
  rows.append(_row('total', params, params, trainable))
  widths = [max(map(len, column)) for column in zip(*rows)]
  return '\n'.join(_line(row, widths) for row in rows)


def _row(part, names, params, trainable):
  count = {name: math.prod(params[name].shape) for name in names}
  share = sum(n for name, n in count.items() if name in trainable) / max(sum(count.values()), 1)
  return part, f'{len(count):,}', f'{sum(count.values()):,}', f'{100 * share:.1f} %'


def _line(row, widths):
  return '  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
