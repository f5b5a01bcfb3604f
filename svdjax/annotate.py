"""CLIP as an annotator of data.curate: embeddings, caption similarity, aesthetic score.

  python -m data.curate … --annotate clip,checkpoint=WORKDIR[,aesthetic=HEAD.safetensors]
"""

import functools
import hashlib
import pathlib

import jax
import numpy as np
from safetensors.numpy import load_file

from svdjax import checkpoint
from svdjax.core.errors import BadInput
from svdjax.models import clip_resize
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import contrastive, latents, parts as parts_lib


class Clip:
  """Both towers of a workdir that experiments/clip.py trained (or weights were converted to).

  Args:
    checkpoint: the workdir.
    aesthetic: a .safetensors file of linear layers `weight`, `bias`, or `0.weight`, `0.bias`, … of
      more than one with nothing between them, on the normalised embedding: LAION's head (trained
      without activations). Without it there is no aesthetic score.
  """
  fields = ('clip_emb', 'caption_sim', 'aesthetic')
  batch = 16
  seconds = 600  # its first call compiles

  def __init__(self, checkpoint, aesthetic=''):
    self.workdir, self.head_path = pathlib.Path(checkpoint), aesthetic
    if not self._steps():
      raise BadInput(f'annotator clip: checkpoint {checkpoint} has no saved step: give the workdir '
                     'of a trained experiments/clip.py')
    if aesthetic and not pathlib.Path(aesthetic).is_file():
      raise BadInput(f'annotator clip: aesthetic {aesthetic} is not a file: give a .safetensors')

  def _steps(self):
    return checkpoint.saved_steps(self.workdir)

  def version(self):
    """Changes with the weights: config, step, and digest of the head."""
    text = (self.workdir / 'config.json').read_bytes() + str(max(self._steps())).encode()
    if self.head_path:
      text += pathlib.Path(self.head_path).read_bytes()
    return hashlib.blake2b(text, digest_size=8).hexdigest()

  def setup(self):
    """Loads the weights.

    Raises:
      BadInput: the workdir has not both towers, or the head does not fit.
    """
    config, params, _ = checkpoint.load(self.workdir)
    if not {'clip_image', 'clip_text'} <= set(config.model):
      raise BadInput(f'annotator clip: {self.workdir} has not both towers of CLIP: give the '
                     'workdir of experiments/clip.py')
    parts = parts_lib.build({n: config.model[n] for n in ('clip_image', 'clip_text')})
    size = parts.configs['clip_image']['size']
    self._images = jax.jit(functools.partial(_embed_images, parts.bind('clip_image', params), size))
    self._texts = jax.jit(functools.partial(_embed_texts, parts.bind('clip_text', params)))
    self._tokenizer = Tokenizer.load(self.workdir / 'assets')
    self._head = read_head(self.head_path) if self.head_path else None
    return self

  def __call__(self, views):
    """[View] -> [{'clip_emb' [3 d], 'caption_sim' [caption picture], 'aesthetic' [3]}]."""
    return [self._one(view) for view in views]

  def _one(self, view):
    images = np.asarray(self._images(view.pictures()))
    tokens = self._tokenizer([text or ' ' for text in view.captions])
    texts = np.asarray(self._texts(tokens))
    similarity = texts @ images.T
    similarity[[not text for text in view.captions]] = np.nan
    answer = {'clip_emb': images, 'caption_sim': similarity}
    if self._head is not None:
      weight, bias = self._head
      answer['aesthetic'] = (images @ weight.T + bias)[:, 0]
    return answer


def _embed_images(tower, size, pictures):
  images = clip_resize.preprocess(latents.to_float(pictures), size)
  return contrastive.normalised(tower(images))


def _embed_texts(tower, tokens):
  return contrastive.normalised(tower(tokens)[1])


def read_head(path):
  """The linear map of an aesthetic head, its layers multiplied out.

  Args:
    path: .safetensors of `weight` [out in] and `bias` [out], prefixed by layer numbers or not.

  Returns:
    (weight [1 d], bias [1]) in float32.

  Raises:
    BadInput: it is no such file.
  """
  try:
    tensors = load_file(path)
    prefixes = sorted({n.removesuffix('weight') for n in tensors if n.endswith('weight')},
                      key=lambda p: int(p.strip('.').split('.')[-1] or 0))
    weight = bias = None
    for prefix in prefixes:
      w, b = (tensors[prefix + n].astype(np.float32) for n in ('weight', 'bias'))
      weight, bias = (w, b) if weight is None else (w @ weight, w @ bias + b)
    if weight is None or weight.shape[0] != 1:
      raise ValueError('its last layer does not give one number')
  except (KeyError, ValueError, OSError) as error:
    raise BadInput(f'aesthetic head {path} cannot be used ({error}): give linear layers with '
                   '"weight" and "bias"') from error
  return weight, bias
