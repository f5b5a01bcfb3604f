"""An svdjax checkpoint to the single file of the original code (sgm), as ComfyUI reads it too."""

import json
import pathlib

from einops import rearrange
import numpy as np

from svdjax.convert import export, store, table
from svdjax.convert.from_sgm import NETWORKS, UNTOLD
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.presets import PRESETS, VIDEO

# Index of the autoencoder among the conditioners (svd_model 3.4, 7.1), by the vector's scalars.
VAE_INDEX = {preset.scalars: 3 if preset.scalars == VIDEO else 1 for preset in PRESETS.values()}


def folded(weight, bias, q_weight, q_bias):
  """A convolution with the 1×1 convolution after it folded in, all in PyTorch's layout.

  Args:
    weight, bias: [o i h w], [o] of the convolution.
    q_weight, q_bias: [p o 1 1], [p] of the one after it.

  Returns:
    ([p i h w], [p]) float64.
  """
  q = rearrange(q_weight, 'p o 1 1 -> p o').astype(np.float64)
  return np.einsum('po,oihw->pihw', q, weight), q @ bias + q_bias


class FirstStageEncoder:
  """first_stage_model.encoder: the conditioner's encoder with quant_conv folded into its end.

  The original code encodes conditions with the conditioner's autoencoder; ComfyUI with this one.

  Args:
    vae: Mapping of the autoencoder.
    index: of the autoencoder among the conditioners.
  """

  def __init__(self, vae, index):
    self._vae, self._from = vae, table.CONDITIONER.format(vae=index)
    self._names = {n.replace(self._from, table.FIRST_STAGE): n for n in vae.theirs
                   if n.startswith(self._from + 'encoder.')}
    self.theirs = {name: vae.theirs[n] for name, n in self._names.items()}

  def to_theirs(self, source, dtype):
    """Yields (name, array) in the order of `theirs`, cast to `dtype`, from ours in `source`."""
    names = [f'{self._from}{layer}.{leaf}' for layer in ('encoder.conv_out', 'quant_conv')
             for leaf in ('weight', 'bias')]
    end = dict(zip(names, folded(*(self._vae.tensor(source, n) for n in names))))
    for name, own in self._names.items():
      array = end[own] if own in end else self._vae.tensor(source, own)
      yield name, weights.cast(array, dtype, name)


def _tensors(found, written, mappings, dtype):
  """Yields (name, array) of everything in `written`, each network loaded when its turn comes."""
  for network, each in written:
    yield from each.to_theirs(found.load(network, mappings[network].shapes), dtype)


def convert(path, file, dtype=None, raw=False):
  """Writes the single file of a checkpoint.

  Args:
    path: workdir or converted checkpoint of an image-to-video model.
    file: .safetensors to write.
    dtype: 'float32', 'bfloat16', 'float16', or None for that of the checkpoint's UNet.
    raw: raw weights instead of their moving average.

  Raises:
    BadInput: another kind of model, a file that exists, or not enough disk.
  """
  found, file = export.Checkpoint(path, raw), pathlib.Path(file)
  scalars = tuple(found.config.conditioning.scalars)
  if found.text or scalars not in VAE_INDEX:
    raise BadInput(f'checkpoint {path} is no image-to-video model with the conditions of a '
                   'released one, for which the single-file layout has no place: use to-diffusers')
  if found.middle != 2:
    raise BadInput(f'checkpoint {path} has {found.middle} ResBlocks in the middle of its decoder, '
                   'and the single-file layout has 2: use to-diffusers')
  if (act := found.model['clip_image'].get('act', 'gelu')) != 'gelu':
    raise BadInput(f'checkpoint {path} has an image encoder of activation {act}, and the '
                   'single-file layout has gelu: use to-diffusers')
  export.require_new_file(file)
  index = VAE_INDEX[scalars]
  mappings = {n: found.mapping(n, 'sgm', index) for n in NETWORKS}
  written = list(mappings.items())
  if scalars == VIDEO:
    written.append(('vae', FirstStageEncoder(mappings['vae'], index)))
  dtype = found.dtype(dtype, mappings['unet'].shapes)
  specs = {n: weights.Spec(s, dtype) for _, each in written for n, s in each.theirs.items()}
  total = sum(s.nbytes for s in specs.values())
  weights.require_disk(file.parent, total)
  tensors = store.Meter(total)(_tensors(found, written, mappings, dtype))
  weights.write(file, specs, tensors, _metadata(found))


def _metadata(found):
  """What shapes do not tell, for from-sgm."""
  told = {n: {field: found.model[n][field] for field in fields} for n, fields in UNTOLD.items()}
  told |= {'preset': found.config.preset if 'preset' in found.config else '', 'data': found.data}
  return {'format': 'pt', 'svdjax': json.dumps(told)}
