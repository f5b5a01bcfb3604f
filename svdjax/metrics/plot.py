"""Small plots as SVG text: lines over time, bars beside their baselines."""

import html

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _BELOW = 420, 180, 46, 22
_COLORS = ('#3366aa', '#dd7722', '#559944', '#aa3355')


def _svg(width, height, body):
  return (f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
          f'role="img" font-family="sans-serif" font-size="11">{body}</svg>')


def _text(x, y, text, anchor='start'):
  return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(str(text))}</text>'


def _titled(title, unit):
  return f'{title} ({unit})' if unit else title


def lines(series, title, unit=''):
  """Curves over the frames of a clip.

  Args:
    series: {label: [n t]}, drawn as the mean over n with a band of one standard deviation; values
      that are not finite are left out.
    title: above the plot.
    unit: of the values.

  Returns:
    SVG text.
  """
  curves = {}
  for label, values in series.items():
    values = np.where(np.isfinite(values), values, np.nan)
    seen = np.isfinite(values).any(0)
    if seen.any():
      mean, spread = np.nanmean(values[:, seen], 0), np.nanstd(values[:, seen], 0)
      curves[label] = np.flatnonzero(seen), mean, spread
  if not curves:
    return ''
  low = min((m - s).min() for _, m, s in curves.values())
  high = max((m + s).max() for _, m, s in curves.values())
  high = high if high > low else low + 1
  last = max(max(t.max() for t, _, _ in curves.values()), 1)
  place = lambda t, v: (_LEFT + (_WIDTH - _LEFT - 8) * t / last,
                        20 + (_HEIGHT - 20 - _BELOW) * (high - v) / (high - low))
  path = lambda t, v: ' '.join(f'{x:.1f},{y:.1f}' for x, y in map(place, t, v))
  body = _text(_LEFT, 13, _titled(title, unit))
  for y, value in ((20, high), (_HEIGHT - _BELOW, low)):
    body += _text(_LEFT - 4, y + 4, f'{value:.3g}', 'end')
    body += f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y}" y2="{y}" stroke="#ddd"/>'
  body += _text(_LEFT, _HEIGHT - 6, 'frame 0') + _text(_WIDTH - 8, _HEIGHT - 6, last, 'end')
  for i, (label, (t, mean, spread)) in enumerate(curves.items()):
    color = _COLORS[i % len(_COLORS)]
    band = path(np.concatenate([t, t[::-1]]),
                np.concatenate([mean + spread, (mean - spread)[::-1]]))
    body += f'<polygon points="{band}" fill="{color}" opacity=".15"/>'
    body += f'<polyline points="{path(t, mean)}" fill="none" stroke="{color}" stroke-width="2"/>'
    body += f'<g fill="{color}">{_text(_WIDTH - 110, 32 + 14 * i, label)}</g>'
  return _svg(_WIDTH, _HEIGHT, body)


def bars(row):
  """A figure beside its baselines, one bar each.

  Args:
    row: of `Figure.row`.

  Returns:
    SVG text.
  """
  values = {'measured': row['mean']} | row['baselines']
  finite = [abs(v) for v in values.values() if np.isfinite(v)]
  top, height = max([*finite, 1e-12]), 20 * len(values) + 22
  body = _text(0, 13, _titled(row['name'], row['unit']))
  for i, (label, value) in enumerate(values.items()):
    y = 20 + 20 * i
    width = 200 * abs(value) / top if np.isfinite(value) else 0
    color = _COLORS[0] if i == 0 else '#bbb'
    body += (_text(120, y + 13, label, 'end')
             + f'<rect x="126" y="{y + 2}" width="{width:.1f}" height="15" fill="{color}"/>'
             + _text(132 + width, y + 13, f'{value:.4g}'))
  return _svg(_WIDTH, height, body)
