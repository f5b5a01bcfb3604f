"""Generated clips beside the true ones: perceptual figures, a film strip and a page.

Callable wherever there are such clips, from the training loop too.
"""

import json
import pathlib

from svdjax.inputs import export
from svdjax.metrics import page, suite
from svdjax.metrics.figure import finite

_ROWS = 6


class Exhibit:
  """Clips of a model, the true ones, and what was measured of them.

  Args:
    shown: what has `truths` and `made`, uint8 [n t h w 3], t > 1, frame by frame of the same clips,
      n `captions`, and `beside`, {name: clips like the true ones} of trivial answers.
    fps: frames a second.
    extractors: suite.Extractors.
    seed: of the halves of the true clips.

  Attributes:
    figures: [Figure], each beside what the true clips get.
    conditions: how they were measured, {name: JSON value}.
  """

  def __init__(self, shown, fps, extractors, seed=0):
    self._shown = shown
    self._own = suite.of_clips(shown.made, fps, extractors, shown.captions)
    self._true = suite.of_clips(shown.truths, fps, extractors, shown.captions)
    self._pairs = suite.of_pairs(shown.made, shown.truths, extractors)
    self._beside = {name: suite.of_pairs(clips, shown.truths, suite.Extractors())
                    for name, clips in shown.beside.items()}
    self.figures = suite.figures(self._own, self._true, self._pairs, seed)
    n, t, height, width = shown.made.shape[:4]
    self.conditions = {
        'samples': {'made': n, 'real': n}, 'frames': t, 'resolution': f'{height}x{width}',
        'fps': fps, 'stride': 1, 'resize': 'none', 'extractors': extractors.describe(),
        'floor': 'FVD between random halves of the true clips, each of half as many', 'seed': seed}

  def _rows(self):
    """For each of a few clips: (caption, {what it is: clip}), the true one first, the made last."""
    shown = self._shown
    for i, caption in enumerate(shown.captions[:_ROWS]):
      yield caption, {'truth': shown.truths[i], **{n: x[i] for n, x in shown.beside.items()},
                      'model': shown.made[i]}

  def write_strip(self, path, condition):
    """Writes a PNG, each true clip above what the model made; `condition`: of what, in words."""
    clips, labels = [], []
    for caption, rows in self._rows():
      clips += rows.values()
      told = {'truth': f'truth: {caption}', 'model': f'model, from {condition}'}
      labels += [told.get(name, name) for name in rows]
    export.write_png(path, export.film_strip(clips, labels, frames=self._shown.truths.shape[1]))

  def write_page(self, path, rows, conditions):
    """Writes an HTML page that holds everything.

    Args:
      path: of the file.
      rows: of `Figure.row`.
      conditions: {name: JSON value} beyond those of the exhibit.
    """
    strips = [(f'{caption} (from above: {", ".join(clips)})', list(clips.values()))
              for caption, clips in self._rows()]
    changes = {'made': self._own['change_by_frame'], 'truth': self._true['change_by_frame']}
    pairs = {'made': self._pairs} | self._beside
    curves = {'change between frames, grey levels': changes,
              'PSNR of each frame, dB': {n: x['psnr_by_frame'] for n, x in pairs.items()}}
    report = {'figures': rows, 'conditions': conditions | self.conditions}
    text = page.render(report, strips, curves, str(conditions.get('checkpoint', 'Measured')))
    pathlib.Path(path).write_text(text, encoding='utf-8')


def write_report(path, figures, conditions):
  """Writes figures and conditions as JSON, with null for what is no number."""
  report = {**conditions, 'figures': [f.row() for f in figures]}
  pathlib.Path(path).write_text(json.dumps(finite(report), indent=2, allow_nan=False))
