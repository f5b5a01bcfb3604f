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
    truths, made: uint8 [n t h w 3], t > 1, frame by frame of the same clips.
    captions: n texts.
    fps: frames a second.
    extractors: suite.Extractors.
    seed: of the halves of the true clips.

  Attributes:
    figures: [Figure], each beside what the true clips get.
    conditions: how they were measured, {name: JSON value}.
  """

  def __init__(self, truths, made, captions, fps, extractors, seed=0):
    self.truths, self.made, self.captions = truths, made, captions
    self._own = suite.of_clips(made, fps, extractors, captions)
    self._true = suite.of_clips(truths, fps, extractors, captions)
    self._pairs = suite.of_pairs(made, truths, extractors)
    self.figures = suite.figures(self._own, self._true, self._pairs, seed)
    n, t, height, width = made.shape[:4]
    self.conditions = {
        'samples': {'made': n, 'real': n}, 'frames': t, 'resolution': f'{height}x{width}',
        'fps': fps, 'stride': 1, 'resize': 'none', 'extractors': extractors.describe(),
        'floor': 'FVD between random halves of the true clips, each of half as many', 'seed': seed}

  def write_strip(self, path, condition):
    """Writes a PNG, each true clip above what the model made; `condition`: of what, in words."""
    clips, labels = [], []
    for true, made, caption in list(zip(self.truths, self.made, self.captions))[:_ROWS]:
      clips += [true, made]
      labels += [f'truth: {caption}', f'model, from {condition}']
    export.write_png(path, export.film_strip(clips, labels, frames=self.truths.shape[1]))

  def write_page(self, path, rows, conditions):
    """Writes an HTML page that holds everything.

    Args:
      path: of the file.
      rows: of `Figure.row`.
      conditions: {name: JSON value} beyond those of the exhibit.
    """
    strips = [(f'{caption} (truth above)', clips) for caption, *clips in
              list(zip(self.captions, self.truths, self.made))[:_ROWS]]
    changes = {'made': self._own['change_by_frame'], 'truth': self._true['change_by_frame']}
    curves = {'change between frames, grey levels': changes,
              'PSNR of each frame, dB': {'made': self._pairs['psnr_by_frame']}}
    text = page.render({'figures': rows, 'conditions': conditions | self.conditions}, strips, curves,
                       str(conditions.get('checkpoint', 'Measured')))
    pathlib.Path(path).write_text(text, encoding='utf-8')


def write_report(path, figures, conditions):
  """Writes figures and conditions as JSON, with null for what is no number."""
  report = {**conditions, 'figures': [f.row() for f in figures]}
  pathlib.Path(path).write_text(json.dumps(finite(report), indent=2, allow_nan=False))
