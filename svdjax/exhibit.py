"""Generated clips beside the true ones: perceptual figures, a film strip and a page.

Callable wherever there are such clips, from the training loop too.
"""

import json
import pathlib

from svdjax.inputs import export
from svdjax.metrics import missing, page, suite
from svdjax.metrics.figure import finite
from svdjax.metrics.inception_score import parts_of

_ROWS = 6


class Exhibit:
  """Clips of a model, the true ones, and what was measured of them.

  Args:
    shown: what has `truths` and `made`, uint8 [n t h w 3], t > 1, frame by frame of the same clips,
      n `captions`, `beside`, {name: clips like the true ones} of trivial answers, and `further`,
      clips like `made` of each further sampling seed.
    fps: frames a second.
    extractors: suite.Extractors.
    prepared: how the true clips came to their frames and size, {name: JSON value}.
    compared: whether the true clips are what the model was to make, frame by frame.
    seed: of the halves of the true clips.

  Attributes:
    not_measured: {figure that needs a given network: why it was not measured}.
    figures: [Figure], each beside what the true clips get, with a value for each sampling seed.
    conditions: how they were measured, {name: JSON value}.
  """

  def __init__(self, shown, fps, extractors, prepared, compared=True, seed=0):
    self._shown = shown
    made = (shown.made, *shown.further)
    pairs = lambda clips, networks: (
        suite.of_pairs(clips, shown.truths, networks) if compared else {})
    own = [suite.of_clips(clips, fps, extractors, shown.captions) for clips in made]
    true = suite.of_clips(shown.truths, fps, extractors, shown.captions)
    beside_true = [pairs(clips, extractors) for clips in made]
    self.figures = suite.over_seeds([suite.figures(alone, true, both, seed)
                                     for alone, both in zip(own, beside_true)])
    compared_with_true = {'made': suite.join(beside_true)} | {
        name: pairs(clips, suite.Extractors()) for name, clips in shown.beside.items()}
    self._curves = {
        'change between frames, grey levels': {
            'made': suite.join(own)['change_by_frame'], 'truth': true['change_by_frame']},
        'PSNR of each frame, dB': {
            name: x['psnr_by_frame'] for name, x in compared_with_true.items() if x}}
    count = len(shown.made)
    self.not_measured = missing.reasons(
        missing.promised(extractors), extractors, {f.name for f in self.figures},
        {'made': count, 'real': count},
        'the true clips are not what the model was to make frame by frame')
    self.conditions = (
        _conditions(made, fps, extractors, prepared, seed)
        | suite.definitions(extractors, 0 if compared else None)
        | {'not measured': self.not_measured})

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
    report = {'figures': rows, 'conditions': conditions | self.conditions}
    text = page.render(report, strips, self._curves, str(conditions.get('checkpoint', 'Measured')))
    pathlib.Path(path).write_text(text, encoding='utf-8')


def _conditions(made, fps, extractors, prepared, seed):
  """What a reader must know to compare the figures of clips `made`, one array a sampling seed."""
  n, t, height, width = made[0].shape[:4]
  splits = {'splits of the Inception score': parts_of(n)} if extractors.i3d else {}
  return {
      'samples': {'made': n, 'real': n}, 'sampling seeds': len(made),
      'values': 'one for each sampling seed, of its samples alone', 'frames': t,
      'resolution': f'{height}x{width}', 'fps': fps, **prepared,
      'extractors': extractors.describe(), **splits,
      'floor': 'FVD between random halves of the true clips, each of half as many', 'seed': seed}


def write_report(path, figures, conditions):
  """Writes figures and conditions as JSON, with null for what is no number."""
  report = {**conditions, 'figures': [f.row() for f in figures]}
  pathlib.Path(path).write_text(json.dumps(finite(report), indent=2, allow_nan=False))
