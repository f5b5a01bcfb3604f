"""Text area by a trained detector of `transformers` (the paper has CRAFT), in place of strokes.

  --annotate text_area,model=DIR        PP-OCRv5's detector, or any object detector of text
  --annotate text_area,model=DIR,label=sign,threshold=0.5
"""

import json
import pathlib

import numpy as np

from data.curation import hub as hub_lib
from svdjax.core.errors import BadInput


class TextArea(hub_lib.Model):
  """Share of each of the three pictures that boxes around text cover, their union."""
  fields = ('text_area', 'text_detector')
  batch = 8

  def __init__(self, model, label='text', threshold='0.3', hub='0', revision='main'):
    """Args:
      model, hub, revision: see hub.Model.
      label: of the boxes that count, as the model's config calls it.
      threshold: least score of a box.

    Raises:
      BadInput: as hub.Model, `threshold` is no number, or the model has no such label.
    """
    super().__init__(model, hub, revision)
    try:
      self.label, self.threshold = label, float(threshold)
    except ValueError as error:
      raise BadInput(f'annotator text_area: threshold={threshold} is not a number: give one, like '
                     '0.3') from error
    config = pathlib.Path(model, 'config.json')
    named = json.loads(config.read_text()).get('id2label') if config.is_file() else None
    if named is not None:
      self._numbers_of(named)

  def setup(self):
    """Loads the weights."""
    self.load('AutoImageProcessor', 'AutoModelForObjectDetection')
    self._wanted = self._numbers_of(self._network.config.id2label)

  def _numbers_of(self, names):
    found = [int(i) for i, name in names.items() if name == self.label]
    if not found:
      raise BadInput(f'annotator text_area: model {self.model} has no label "{self.label}": name '
                     f'one of {", ".join(list(names.values())[:10])} with label=')
    return found

  def __call__(self, views):
    """[View] -> [{'text_area' [3], 'text_detector'}]."""
    return [{'text_area': self._areas(view.pictures()),
             'text_detector': f'{type(self._network).__name__}@{self.label}'} for view in views]

  def _areas(self, pictures):
    inputs = self._processor(images=list(pictures), return_tensors='pt')
    found = self._network(**inputs)
    sizes = inputs['pixel_values'].new_tensor([p.shape[:2] for p in pictures])
    results = self._processor.post_process_object_detection(
        found, threshold=self.threshold, target_sizes=sizes)
    return [covered(r['boxes'].detach().numpy(), r['labels'].numpy(), self._wanted, p.shape[:2])
            for r, p in zip(results, pictures)]


def covered(boxes, labels, wanted, size):
  """Share of a picture that boxes cover, their union.

  Args:
    boxes: [n 4] left, top, right, bottom in pixels.
    labels: [n] integers.
    wanted: labels that count.
    size: (height, width).

  Returns:
    float.
  """
  mask = np.zeros(size, bool)
  for box, label in zip(np.round(boxes).astype(int), labels):
    if label in wanted:
      left, top, right, bottom = np.maximum(box, 0)
      mask[top:bottom, left:right] = True
  return float(mask.mean())
