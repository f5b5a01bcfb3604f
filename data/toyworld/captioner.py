"""A captioner that is always right: what raw toy footage says of itself, as an annotator.

  python -m data.curate --input RAW … --annotate data.toyworld.captioner:Truth,footage=RAW
"""

import functools
import hashlib
import json
import pathlib

import numpy as np

from data.toyworld import caption, reel
from svdjax.core.errors import BadInput

_PLAIN = {'still': 'a photograph standing still', 'text': 'a page of text',
          'pan': 'the camera pans right past clouds'}


class Truth:
  """Captions a clip of data.toyworld.reels from the truth beside its file, by the shot in its middle.

  Args:
    footage: folder of the reels.

  Raises:
    BadInput: the folder holds none.
  """
  fields = ('caption_image', 'caption_video', 'caption_merged')
  batch = 64

  def __init__(self, footage):
    self.footage = pathlib.Path(footage)
    if not any(self.footage.glob('*.json')):
      raise BadInput(f'annotator Truth: {footage} holds no reels: name the folder that '
                     'data.toyworld.reels wrote')

  def version(self):
    """Changes with the shots."""
    texts = b''.join(p.read_bytes() for p in sorted(self.footage.glob('*.json')))
    return hashlib.blake2b(texts, digest_size=8).hexdigest()

  def setup(self):
    """Nothing to load."""

  @functools.cache  # pylint: disable=method-cache-max-size-none
  def _truth(self, uri):
    return json.loads((self.footage / uri).with_suffix('.json').read_text())

  def __call__(self, views):
    """[View] -> [{'caption_image', 'caption_video', 'caption_merged'}]."""
    return [dict(zip(self.fields, self._captions(view))) for view in views]

  def _captions(self, view):
    truth = self._truth(view.uri)
    numbers = np.array(truth['shot_of'])
    clear = np.flatnonzero(numbers >= 0)  # not faded
    middle = (view.start + view.seconds / 2) * truth['fps']
    shot = reel.Shot(**truth['shots'][numbers[clear[np.abs(clear - middle).argmin()]]])
    if shot.kind == 'toy':
      return caption.captions(reel.scene_of(shot))
    return [_PLAIN[shot.kind]] * 3
