"""The feature networks of a measurement, from files and checkpoints that the user names."""

import functools
import hashlib
import pathlib
import sys

import jax
import numpy as np

from svdjax import checkpoint as checkpoints
from svdjax.core.errors import BadInput
from svdjax.metrics import i3d, lpips
from svdjax.metrics.suite import Extractors
from svdjax.models import clip_resize
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import contrastive, latents, parts as parts_lib


class Clip:
  """CLIP of a checkpoint, as embeddings of unit length.

  Attributes:
    path: the checkpoint.
    reads_text: whether it has a text tower that goes with its image tower; where not, that is said
      once: CLIPSIM is not measured, CLIP-S and frame consistency are.
    sha256: of the towers' parameters, names and bytes in order of the names.

  Raises:
    BadInput: not a checkpoint, or without the image tower.
  """

  def __init__(self, path):
    config, params, _ = checkpoints.load(path)
    towers = [n for n in ('clip_image', 'clip_text') if n in config.model]
    if 'clip_image' not in towers:
      raise BadInput(f'--clip {path} has no image tower of CLIP: give a checkpoint of '
                     'experiments/clip.py, or a converted one')
    parts = parts_lib.build({n: config.model[n] for n in towers})
    self.path, self.sha256 = str(path), digest({n: params[n] for n in parts.shapes})
    size = parts.configs['clip_image']['size']
    bind = lambda name: parts.bind(name, params)
    self._images = jax.jit(functools.partial(_embed_images, bind('clip_image'), size))
    width = parts.configs['clip_image']['projection']
    self.reads_text = parts.configs.get('clip_text', {}).get('projection') == width
    if self.reads_text:
      self._texts = jax.jit(functools.partial(_embed_texts, bind('clip_text')))
      self._tokenizer = Tokenizer.load(pathlib.Path(path) / 'assets')
    else:
      print(f'CLIPSIM: not measured, --clip {path} has no text tower of CLIP that goes with its '
            'image tower', file=sys.stderr)

  def images(self, pictures):
    """uint8 [n h w 3] -> [n d]."""
    return np.asarray(self._images(pictures))

  def texts(self, captions):
    """n texts -> [n d]; only where `reads_text`."""
    return np.asarray(self._texts(self._tokenizer(list(captions))))


def _embed_images(tower, size, pictures):
  return contrastive.normalised(tower(clip_resize.preprocess(latents.to_float(pictures), size)))


def _embed_texts(tower, tokens):
  return contrastive.normalised(tower(tokens)[1])


def digest(params):
  """sha256 of {name: array}: names and bytes, in order of the names."""
  total = hashlib.sha256()
  for name in sorted(params):
    total.update(name.encode() + b'\0')
    total.update(np.ascontiguousarray(params[name]).tobytes())
  return total.hexdigest()


def add_arguments(add):
  """Adds the options through `add`, the add_argument of a parser."""
  add('--i3d', help='I3D weights for FVD: state_dict of pytorch_i3d, .safetensors or .npz')
  add('--lpips', help='LPIPS weights: state_dict of lpips.LPIPS, .safetensors or .npz')
  add('--clip', help='checkpoint with CLIP, for CLIPSIM and CLIP-S')


def load(args):
  """Extractors of the options.

  Raises:
    BadInput: a file or checkpoint cannot be used.
  """
  return Extractors(args.i3d and i3d.load(args.i3d), args.lpips and lpips.load(args.lpips),
                    args.clip and Clip(args.clip))
