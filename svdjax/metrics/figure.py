"""A measured figure beside what trivial answers reach, as a row of JSON and as a line of text."""

from typing import NamedTuple

import numpy as np


class Figure(NamedTuple):
  """One measured figure: values of all seeds, and what trivial answers reach."""
  name: str
  values: list[float]
  baselines: dict[str, float]
  unit: str = ''

  def row(self):
    """{'name', 'mean', 'spread', 'values', 'baselines', 'unit'}, plain numbers."""
    return {'name': self.name, 'mean': float(np.mean(self.values)),
            'spread': float(np.max(self.values) - np.min(self.values)),
            'values': [float(v) for v in self.values], 'unit': self.unit,
            'baselines': {k: float(v) for k, v in self.baselines.items()}}


def finite(x):
  """The same nested dicts and lists with None for numbers that JSON does not have."""
  if isinstance(x, dict):
    return {k: finite(v) for k, v in x.items()}
  if isinstance(x, list):
    return [finite(v) for v in x]
  return None if isinstance(x, float) and not np.isfinite(x) else x


def table(figures):
  """Figures as aligned lines of text."""
  lines = []
  for figure in figures:
    row = figure.row()
    spread = f' ± {row["spread"]:.3g}' if len(figure.values) > 1 else ''
    versus = ', '.join(f'{k} {v:.3g}' for k, v in row['baselines'].items())
    lines.append(f'{row["name"]:24s} {row["mean"]:.3g}{spread} {row["unit"]}  ({versus})')
  return '\n'.join(lines)
