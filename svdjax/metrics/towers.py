"""CLIP's towers as unit vectors of pictures and captions, prepared as CLIP's own code does it.

SVD's image encoder squashes its picture to a square (models.clip_resize); the measures of the
literature are of CLIP as released, which sees the middle of a picture in its proportions.
"""

import jax
import numpy as np
from PIL import Image

from svdjax.core.params import part
from svdjax.models import clip, clip_resize
from svdjax.models.tokenizer import Tokenizer

INPUT = 'short side resized to its input, bicubic with antialiasing, then centre crop'


def prepare(pictures, size):
  """Pictures as OpenAI's CLIP and CLIPImageProcessor of transformers give them to the tower.

  Args:
    pictures: uint8 [n h w 3].
    size: side of the result in pixels.

  Returns:
    float32 [n size size 3]: the short side resized to `size`, the centre cut out, then normalised.
  """
  short = min(pictures.shape[1:3])
  height, width = (int(size * side / short) for side in pictures.shape[1:3])
  left, top = (width - size) // 2, (height - size) // 2
  box = left, top, left + size, top + size
  resized = [Image.fromarray(p).resize((width, height), Image.Resampling.BICUBIC).crop(box)
             for p in pictures]
  normal = (np.stack(resized) / 255 - clip_resize.MEAN) / clip_resize.STD
  return normal.astype(np.float32)


def can_read(model):
  """Whether {network: sizes} has a text tower that goes with its image tower."""
  towers = 'clip_image', 'clip_text'
  return set(towers) <= set(model) and len({model[n]['projection'] for n in towers}) == 1


class Towers:
  """The towers of a checkpoint that is loaded.

  Args:
    model: {network: sizes} of the checkpoint, with 'clip_image'.
    params: {name: array}, those of the towers among them.
    assets: folder of the tokenizer; not looked into where there is no text tower.

  Attributes:
    reads_text: whether captions can be embedded.

  Raises:
    BadInput: the tokenizer is missing or damaged.
  """

  def __init__(self, model, params, assets):
    self._size, self.reads_text = model['clip_image']['size'], can_read(model)
    tower = clip.build_image(clip.ImageConfig(**model['clip_image']))
    self._images = jax.jit(lambda own, x: clip.normalised(tower.apply(own, x)))
    self._own = {'images': part(params, 'clip_image')}
    if self.reads_text:
      reader = clip.build_text(clip.TextConfig(**model['clip_text']))
      self._texts = jax.jit(lambda own, x: clip.normalised(reader.apply(own, x)[1]))
      self._own['texts'] = part(params, 'clip_text')
      self._tokenizer = Tokenizer.load(assets)

  def images(self, pictures):
    """uint8 [n h w 3] -> [n d]."""
    return np.asarray(self._images(self._own['images'], prepare(pictures, self._size)))

  def texts(self, captions):
    """n texts -> [n d]; only where `reads_text`."""
    return np.asarray(self._texts(self._own['texts'], self._tokenizer(list(captions))))
