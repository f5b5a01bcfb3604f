"""CLIP as an annotator of data.curate: embeddings, caption similarity, aesthetic score.

  python -m data.curate … --annotate clip,checkpoint=DIR[,aesthetic=HEAD.safetensors]
"""

import hashlib
import pathlib

import numpy as np
from safetensors.numpy import load_file

from svdjax import checkpoint as checkpoints
from svdjax.core.errors import BadInput
from svdjax.metrics import towers

_TOWERS = 'clip_image', 'clip_text'


class Clip:
  """Both towers of a checkpoint: a workdir of experiments/clip.py, or a converted CLIPModel.

  Args:
    checkpoint: the workdir or the converted checkpoint.
    aesthetic: a .safetensors file of linear layers `weight`, `bias`, or `0.weight`, `0.bias`, … of
      more than one with nothing between them, on the normalised embedding: LAION's head (trained
      without activations). Without it there is no aesthetic score.

  Raises:
    BadInput: the checkpoint has not both towers or was not trained, or there is no such head.
  """
  fields = ('clip_emb', 'caption_sim', 'aesthetic')
  batch = 16
  seconds = 600  # its first call compiles

  def __init__(self, checkpoint, aesthetic=''):
    self.folder, self.head_path = pathlib.Path(checkpoint), aesthetic
    if not towers.can_read(checkpoints.load_config(checkpoint).model):
      raise BadInput(f'annotator clip: checkpoint {checkpoint} has not both towers of CLIP: give '
                     'the workdir of a trained experiments/clip.py, or a converted CLIPModel')
    if not checkpoints.saved_steps(checkpoint):
      for network in _TOWERS:
        checkpoints.load_network(checkpoint, network)  # refuses an untrained workdir
    if aesthetic and not pathlib.Path(aesthetic).is_file():
      raise BadInput(f'annotator clip: aesthetic {aesthetic} is not a file: give a .safetensors')

  def version(self):
    """Changes with what it sees of a picture and with the weights: digest of config, step or
    converted towers, and head."""
    total = hashlib.blake2b(towers.INPUT.encode(), digest_size=8)
    files = [self.folder / 'config.json', *filter(None, [self.head_path])]
    if steps := checkpoints.saved_steps(self.folder):
      total.update(str(max(steps)).encode())
    else:
      files += [checkpoints.converted_file(self.folder, n) for n in _TOWERS]
    for path in files:
      with open(path, 'rb') as file:
        while block := file.read(2 ** 24):
          total.update(block)
    return total.hexdigest()

  def setup(self):
    """Loads the weights.

    Raises:
      BadInput: they or the head cannot be used.
    """
    config, params, _ = checkpoints.load(self.folder)
    self._towers = towers.Towers(config.model, params, self.folder / 'assets')
    self._head = read_head(self.head_path) if self.head_path else None
    return self

  def __call__(self, views):
    """[View] -> [{'clip_emb' [3 d], 'caption_sim' [caption picture], 'aesthetic' [3]}]."""
    return [self._one(view) for view in views]

  def _one(self, view):
    images = self._towers.images(view.pictures())
    texts = self._towers.texts([text or ' ' for text in view.captions])
    similarity = texts @ images.T
    similarity[[not text for text in view.captions]] = np.nan
    answer = {'clip_emb': images, 'caption_sim': similarity}
    if self._head is not None:
      weight, bias = self._head
      answer['aesthetic'] = (images @ weight.T + bias)[:, 0]
    return answer


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
