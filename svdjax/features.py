"""The feature networks of a measurement, from files and checkpoints that the user names."""

import hashlib
import pathlib

import numpy as np

from svdjax import checkpoint as checkpoints
from svdjax.core.errors import BadInput
from svdjax.metrics import i3d, lpips, towers
from svdjax.metrics.suite import Extractors


class Clip(towers.Towers):
  """CLIP of a checkpoint, as embeddings of unit length.

  Attributes:
    path: the checkpoint.
    reads_text: whether it has a text tower that goes with its image tower; where not, CLIPSIM is
      not measured, CLIP-S and frame consistency are.
    sha256: of the towers' parameters, names and bytes in order of the names.

  Raises:
    BadInput: not a checkpoint, or without the image tower.
  """

  def __init__(self, path):
    config, params, _ = checkpoints.load(path)
    if 'clip_image' not in config.model:
      raise BadInput(f'--clip {path} has no image tower of CLIP: give a checkpoint of '
                     'experiments/clip.py, or a converted one')
    super().__init__(config.model, params, pathlib.Path(path) / 'assets')
    own = {n: x for n, x in params.items() if n.startswith(('clip_image/', 'clip_text/'))}
    self.path, self.sha256 = str(path), digest(own)


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
