"""The report page: what came in, what each rule does, and what kept and dropped clips look like."""

import collections
import html

import numpy as np

from data.curation import failures
from data.curation import ledger
from data.curation import rules as rules_lib
from data.curation import sheet
from data.curation import tables
from svdjax.inputs import export

_SHOWN = 24  # clips a contact sheet
_BARS, _WIDTH, _HEIGHT = 60, 600, 120
_STYLE = ('body{font:15px/1.4 sans-serif;max-width:1500px;margin:2em auto;padding:0 1em}'
          'table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;'
          'border-bottom:1px solid #ccc}td:first-child,th:first-child{text-align:left}'
          'img{max-width:100%}')


def write(places, collected, clips, verdicts, kept):
  """Writes report/index.html and its contact sheets.

  Args:
    places: ledger.Places.
    collected: run.Collected.
    clips: [{field: value}] sorted by clip_id.
    verdicts: [Verdict].
    kept: bool [n] clips that all rules keep.

  Returns:
    Path of the page.
  """
  folder = places.output / 'report'
  chosen = [c for c, k in zip(clips, kept) if k]
  parts = ['<h1>Curation</h1>', '<h2>Funnel</h2>', _funnel(collected, clips, verdicts, kept),
           '<h2>Data set</h2>', _dataset(clips, chosen), '<h2>Left out</h2>',
           _failed(collected.failures), '<h2>Kept</h2>',
           _sheet(places, folder / 'kept.png', chosen, _what)]
  for i, verdict in enumerate(verdicts):
    parts.append(_rule(places, folder, i, clips, verdict))
  page = (f'<!doctype html><meta charset="utf-8"><title>Curation</title><style>{_STYLE}</style>'
          + ''.join(parts))
  ledger.write_bytes(folder / 'index.html', page.encode())
  return folder / 'index.html'


def _table(head, rows):
  line = lambda cells, tag: '<tr>' + ''.join(
      f'<{tag}>{html.escape(str(c))}</{tag}>' for c in cells) + '</tr>'
  return f'<table>{line(head, "th")}{"".join(line(r, "td") for r in rows)}</table>'


def _percent(part, whole):
  return f'{100 * part / whole:.1f} %' if whole else '–'


def _funnel(collected, clips, verdicts, kept):
  used = sum(bool(row['clips']) for row in collected.rows.values())
  rows = [('sources', collected.count, ''), ('sources with clips', used,
                                             _percent(used, collected.count)),
          ('clips', len(clips), '100 %')]
  for v in verdicts:
    rows.append((f'… kept by {v.rule.text} alone' + ('' if v.scored == len(clips) else
                 f' ({len(clips) - v.scored} without this score are kept)'),
                 int(v.keep.sum()), _percent(v.keep.sum(), len(clips))))
  rows.append(('clips kept by all rules', int(kept.sum()), _percent(kept.sum(), len(clips))))
  return _table(('', 'count', 'share'), rows)


def _dataset(clips, chosen):
  cell = lambda x: '–' if x is None else f'{x:.4g}'
  every, some = tables.figures(clips), tables.figures(chosen)
  return _table(('', 'all clips', 'kept'), [(n, cell(every[n]), cell(some[n])) for n in every])


def _failed(rows):
  if not rows:
    return '<p>Nothing.</p>'
  counts = collections.Counter(row['code'] for row in rows)
  summary = [(code, n, failures.CODES[code][1]) for code, n in counts.most_common()]
  details = [(r['code'], r['uri'], r['stage'], r['message']) for r in rows[:1000]]
  return (_table(('code', 'count', 'remedy'), summary) + '<details><summary>each</summary>'
          + _table(('code', 'source', 'stage', 'message'), details) + '</details>')


def _what(clip):
  return (f'{clip["t_start"]:.1f}-{clip["t_end"]:.1f} s  motion {clip["motion_fb16"] or 0:.2f}  '
          f'text {max(clip["text_area"]):.2f}')


def _sheet(places, path, clips, label):
  if not clips:
    path.unlink(missing_ok=True)
    return '<p>No clip.</p>'
  export.write_png(path, sheet.draw(places, sheet.pick(clips, _SHOWN), label))
  return f'<p>{len(clips)} clips.</p><img src="{path.name}">'


def _rule(places, folder, i, clips, verdict):
  """One rule: histogram of its score with the threshold, and both contact sheets."""
  name = verdict.rule.score
  scores = np.array([rules_lib.score_of(c, name) for c in clips], np.float64)
  order = [clips[k] for k in np.argsort(scores, kind='stable')]
  keep = {c['clip_id']: k for c, k in zip(clips, verdict.keep)}
  label = lambda c: f'{name} {rules_lib.score_of(c, name):.3g}  at {c["t_start"]:.1f} s'
  parts = [f'<h2>{html.escape(verdict.rule.text)}</h2>', histogram(scores, verdict.threshold)]
  for word, wanted in (('dropped', False), ('kept', True)):
    members = [c for c in order if keep[c['clip_id']] == wanted]
    parts += [f'<h3>{word}, lowest score first</h3>',
              _sheet(places, folder / f'rule{i}_{word}.png', members, label)]
  return ''.join(parts)


def histogram(scores, threshold):
  """An SVG of scores (NaN left out) with a line at the threshold, unless that is NaN."""
  scores = scores[np.isfinite(scores)]
  if not len(scores):
    return '<p>No clip has this score.</p>'
  ends = [*scores, threshold] if np.isfinite(threshold) else scores
  low, high = float(np.min(ends)), float(np.max(ends))
  high = high if high > low else low + 1.0
  counts, _ = np.histogram(scores, bins=_BARS, range=(low, high))
  step, tallest = _WIDTH / _BARS, max(1, counts.max())
  bars = ''.join(
      f'<rect x="{i * step:.1f}" y="{_HEIGHT * (1 - n / tallest):.1f}" width="{step - 1:.1f}" '
      f'height="{_HEIGHT * n / tallest:.1f}" fill="#69c"/>' for i, n in enumerate(counts))
  x = _WIDTH * (threshold - low) / (high - low)
  line = (f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT}" stroke="#c33" '
          'stroke-width="2"/>' if np.isfinite(threshold) else '')
  words = f'{low:.4g} to {high:.4g}' + (
      f', threshold {threshold:.4g}' if np.isfinite(threshold) else '')
  return (f'<svg width="{_WIDTH}" height="{_HEIGHT}">{bars}{line}</svg><p>{words}, '
          f'{len(scores)} clips</p>')
