"""One page that holds a whole measurement: conditions, figures, plots and film strips.

It needs no other file and no network: pictures are inside.
"""

import base64
import html
import io

from PIL import Image

from svdjax.inputs import export
from svdjax.metrics import plot

_STYLE = ('body{font:15px/1.45 sans-serif;max-width:1240px;margin:2em auto;padding:0 1em;'
          'color:#222}h2{margin-top:1.6em}table{border-collapse:collapse}td,th{padding:.2em .9em;'
          'text-align:right;border-bottom:1px solid #ccc}td:first-child,th:first-child{'
          'text-align:left}td.text{text-align:left;word-break:break-all}img{max-width:100%;'
          'display:block;margin:.2em 0}figure{margin:1em 0}figcaption{color:#555}'
          '.plots{display:flex;flex-wrap:wrap;gap:1em 2em}')


def _number(value):
  return '–' if value is None or value != value else f'{value:.4g}'


def _measured(row):
  spread = f' ± {_number(row["spread"])}' if len(row['values']) > 1 else ''
  return f'{_number(row["mean"])}{spread} {row["unit"]}'


def _figures(rows):
  head = '<tr><th>figure</th><th>measured</th><th>beside</th></tr>'
  lines = [f'<tr><td>{html.escape(r["name"])}</td><td>{_measured(r)}</td>'
           '<td>' + html.escape(', '.join(f'{k} {_number(v)}' for k, v in r['baselines'].items()))
           + '</td></tr>' for r in rows]
  return f'<table>{head}{"".join(lines)}</table>'


def _conditions(values):
  lines = []
  for name, value in values.items():
    if isinstance(value, dict):
      value = '; '.join(f'{k}: ' + (', '.join(f'{a} {b}' for a, b in v.items())
                                    if isinstance(v, dict) else str(v)) for k, v in value.items())
    lines.append(f'<tr><td>{html.escape(name)}</td>'
                 f'<td class="text">{html.escape(str(value) or "none")}</td></tr>')
  return f'<table>{"".join(lines)}</table>'


def _picture(clip, frames):
  file = io.BytesIO()
  Image.fromarray(export.film_strip([clip], frames=frames)).save(file, 'PNG')
  return f'<img src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def render(report, strips, curves, title='Measured'):
  """The page as text.

  Args:
    report: {'figures': rows of `Figure.row`, 'conditions': {name: value}}.
    strips: list of (caption, [clip uint8 [t h w 3], …]), the clips of one strip below each other.
    curves: {title: {label: [n t]}} over the frames.
    title: of the page.

  Returns:
    HTML.
  """
  figures = ''.join(
      f'<figure>{"".join(_picture(c, min(8, len(c))) for c in clips)}'
      f'<figcaption>{html.escape(caption)}</figcaption></figure>' for caption, clips in strips)
  plots = ''.join(plot.lines(series, name) for name, series in curves.items())
  bars = ''.join(plot.bars(row) for row in report['figures'])
  return ('<!doctype html><html lang="en"><meta charset="utf-8">'
          f'<title>{html.escape(title)}</title><style>{_STYLE}</style>'
          f'<h1>{html.escape(title)}</h1><h2>Figures</h2>{_figures(report["figures"])}'
          f'<h2>Over time</h2><div class="plots">{plots}</div>'
          f'<h2>Beside what is trivial or real</h2><div class="plots">{bars}</div>'
          f'<h2>Clips</h2>{figures}<h2>Measured how</h2>{_conditions(report["conditions"])}</html>')
