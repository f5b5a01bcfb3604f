"""What both ways out share: a checkpoint's networks, and whether PyTorch's code can run them."""

import pathlib

from svdjax import checkpoint
from svdjax.convert import store
from svdjax.convert.mapping import Mapping, depth
from svdjax.core.errors import BadInput
from svdjax.core.params import part
from svdjax.models.vae import VAEConfig
from svdjax.tasks.conditioning import SHARES

GROUPS = 32  # of every group norm, fixed in both PyTorch code bases


class Checkpoint:
  """A checkpoint whose networks are loaded one at a time.

  Args:
    path: workdir or converted checkpoint.
    raw: raw weights instead of their moving average.

  Raises:
    BadInput: not a checkpoint, or not of a video model that PyTorch's code has.
  """

  def __init__(self, path, raw=False):
    self.path, self.raw, self._kept = pathlib.Path(path), raw, {}
    self.config = checkpoint.load_config(path)
    if not checkpoint.is_ready(path):
      raise BadInput(f'checkpoint {path} has no saved step yet: train it first')
    if self.config.task != 'denoising':
      raise BadInput(f'checkpoint {path} is of task {self.config.task}: give that of a video '
                     'model, which holds its autoencoder and CLIP')
    self.model = {name: sizes.to_dict() for name, sizes in self.config.model.items()}
    self._check_sizes()

  @property
  def text(self):
    """Whether the model is conditioned on text."""
    return self.config.conditioning.context == 'text'

  def _check_sizes(self):
    unet = self.model['unet']
    if 'lora' in self.model:
      raise BadInput(f'checkpoint {self.path} is a LoRA and its base model: convert the file '
                     'lora.safetensors as it is, or merge both with `svdjax.convert merge-lora`')
    if 'mask' in self.model:
      raise BadInput(f'checkpoint {self.path} is given a first and a last frame, which no model of '
                     "PyTorch's code is: give one of image-to-video or text-to-video")
    if unet['temporal'] != 'svd':
      raise BadInput(f'checkpoint {self.path} has temporal layers "{unet["temporal"]}": only "svd" '
                     'exists in PyTorch')
    for name in ('unet', 'vae'):
      if self.model[name]['groups'] != GROUPS:
        raise BadInput(f'checkpoint {self.path} normalises {name} in {self.model[name]["groups"]} '
                       f'groups and PyTorch\'s code in {GROUPS}: train it with '
                       f'config.model.{name}.groups={GROUPS}')

  def mapping(self, network, dialect, vae=3):
    """The Mapping of a network; `vae` is the autoencoder's index among sgm's conditioners."""
    sizes = self.model[network]
    return Mapping(network, store.shapes_of(network, sizes), dialect, depth(network, sizes, vae))

  def load(self, network, expected):
    """A network's weights.Weights or Saved; BadInput if its tensors are not those `expected`."""
    source = self._kept.pop(network, None) or checkpoint.load_network(
        self.path, network, ema=not self.raw)
    have = {n: s.shape for n, s in source.specs.items() if part({n: 0}, network)}
    if wrong := sorted({n for n, _ in have.items() ^ expected.items()}):
      raise BadInput(f'checkpoint {self.path}: {wrong[0]} is missing, unexpected or misshapen: '
                     'config.json and weights are not of the same model')
    return source

  def dtype(self, name, unet):
    """The numpy dtype named, or that of the UNet's weights (tensors `unet`) where None is."""
    if not name:
      self._kept['unet'] = self.load('unet', unet)  # it is the first to be written
    return store.dtype_of(name, self._kept.values())

  @property
  def data(self):
    """{'frames', 'height', 'width'} of the videos and 'scalar_dim', the width of one scalar."""
    shares = sum(SHARES.get(name, 1) for name in self.config.conditioning.scalars)
    return {name: self.config.data[name] for name in ('frames', 'height', 'width')} | {
        'scalar_dim': self.model['unet']['vector_dim'] // max(shares, 1)}

  @property
  def middle(self):
    """ResBlocks in the middle of the decoder."""
    return VAEConfig(**self.model['vae']).middle

  @property
  def step(self):
    """The step that the weights are of; 0 for a converted checkpoint."""
    return max(checkpoint.saved_steps(self.path), default=0)


def require_new_file(file):
  """Raises BadInput if a file cannot be made under this name, whose folder is made if needed."""
  if file.suffix != '.safetensors':
    raise BadInput(f'{file} does not end in .safetensors: name such a file')
  if file.exists():
    raise BadInput(f'{file} exists already: name a new file')
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise BadInput(f'{file} cannot be written ({error.strerror}): choose another place') from None
