"""A table and a plot over the metrics of several runs."""

import json
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT = 640, 360, 60, 300
COLOURS = ('#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#777777')


def read(folder):
  """The metrics of a workdir, one dict a step in order; of a repeated step the last."""
  path = folder / 'metrics.jsonl'
  rows = {}
  for line in path.read_text().splitlines() if path.is_file() else ():
    try:
      row = json.loads(line)
    except ValueError:  # torn by a kill
      continue
    rows[row['step']] = row
  return [rows[step] for step in sorted(rows)]


def final(rows):
  """The mean loss over the last fifth of the rows, infinite if no step of them was finite."""
  losses = [r['loss'] for r in rows[-max(1, len(rows) // 5):] if r['loss'] is not None]
  return sum(losses) / len(losses) if losses else math.inf


def table(runs):
  """{name: rows} as lines of text, the lowest final loss first."""
  width = max(map(len, runs))
  lines = [f'{"run":{width}s}  {"step":>8s}  {"loss":>9s}  {"skipped":>7s}  s/step']
  for name, rows in sorted(runs.items(), key=lambda run: final(run[1])):
    last, steps = rows[-1], max(1, rows[-1]['step'] - rows[0]['step'])
    pace = sum(r['seconds'] for r in rows[1:]) / steps
    lines.append(f'{name:{width}s}  {last["step"]:8d}  {final(rows):9.4g}  '
                 f'{last["skipped_steps"]:7.0f}  {pace:.3g}')
  return '\n'.join(lines)


def _spread(values):
  low, high = min(values), max(values)
  return (low, high) if high > low else (low - 0.5, high + 0.5)


def svg(series):
  """{name: [(step, loss)]} as an SVG drawing, losses on a log scale where all are positive."""
  points = [p for line in series.values() for p in line]
  if not points:
    return '<svg xmlns="http://www.w3.org/2000/svg"/>'
  scale = math.log10 if min(y for _, y in points) > 0 else float
  (x0, x1), (y0, y1) = _spread([x for x, _ in points]), _spread([scale(y) for _, y in points])
  place = lambda x, y: (f'{LEFT + (x - x0) / (x1 - x0) * WIDTH:.1f},'
                        f'{20 + (y1 - scale(y)) / (y1 - y0) * HEIGHT:.1f}')
  low, high = (10 ** y if scale is math.log10 else y for y in (y0, y1))
  label = lambda x, y, text: f'<text x="{x}" y="{y}">{escape(text)}</text>'
  parts = [f'<rect x="{LEFT}" y="20" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
           label(4, 30, f'{high:.3g}'), label(4, HEIGHT + 20, f'{low:.3g}'),
           label(LEFT, HEIGHT + 40, f'step {x0:g}'),
           label(LEFT + WIDTH - 60, HEIGHT + 40, f'{x1:g}')]
  for i, (name, line) in enumerate(series.items()):
    colour, y = COLOURS[i % len(COLOURS)], 36 + 18 * i
    parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="'
                 f'{" ".join(place(*p) for p in line)}"/>')
    parts.append(f'<rect x="{LEFT + WIDTH + 10}" y="{y - 9}" width="10" height="10" '
                 f'fill="{colour}"/>{label(LEFT + WIDTH + 26, y, name)}')
  size = f'width="{LEFT + WIDTH + RIGHT}" height="{max(HEIGHT + 60, 40 + 18 * len(series))}"'
  return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" '
          f'font-size="12">{"".join(parts)}</svg>')
