"""The single file of the original code (sgm) to an svdjax checkpoint."""

import pathlib
import re

from svdjax.convert import metadata, recipe, sizes, store, table
from svdjax.core import json_dict, weights
from svdjax.core.errors import BadInput
from svdjax.models.clip import IMAGE_VIT_H
from svdjax.presets import of_model

NETWORKS = ('unet', 'vae', 'clip_image')
PREFIXES = {'unet': table.UNET, 'clip_image': table.VISUAL}  # the rest is the autoencoder's
# What shapes do not tell, in the metadata of files written here; released files have the defaults.
UNTOLD = {'unet': {'head_dim': 64, 'norm_eps': 'sgm'}, 'vae': {'scale': 0.18215},
          'clip_image': {'heads': None, 'layers': None}}
COUNTERS = ('model_ema.num_updates', 'model_ema.decay')


def _file_names(source, raw):
  """{name in the table: name in the file} of all that is used; EMA weights unless `raw`."""
  unused = [name for name in source.specs
            if any(re.fullmatch(p, name) for p in table.UNUSED['sgm'])]
  names = {name: name for name in source.specs if name not in set(unused)}
  averages = {name for name in unused if name.startswith('model_ema.')} - {*COUNTERS}
  if averages and not raw:  # LitEma drops the network's prefix and all dots
    ema = {n: f'model_ema.{n.removeprefix("model.").replace(".", "")}' for n in names
           if n.startswith(table.UNET)}
    if missing := [n for n in ema.values() if n not in averages]:
      raise BadInput(f'tensor {missing[0]} is missing from the moving average: pass --raw for the '
                     'raw weights')
    names |= ema
  return names


def _vae_index(specs, where):
  """The autoencoder's place among the conditioners."""
  found = [m[1] for n in specs
           if (m := re.fullmatch(r'conditioner\.embedders\.(\d+)\.encoder\.quant_conv\.weight', n))]
  if not found:
    raise BadInput(f'{where}: conditioner.embedders.*.encoder.quant_conv.weight is missing: give '
                   'the whole single-file checkpoint of an image-to-video model')
  return int(found[0])


def read(path, raw=False):
  """({network: store.Network}, metadata of svdjax) of a single file, checked.

  Raises:
    BadInput: not such a file, or a tensor is missing, extra or misshapen.
  """
  source = weights.Weights([path])
  names = _file_names(source, raw)
  index = _vae_index(names, path)
  own = {n: {k: v for k, v in names.items() if k.startswith(prefix)}
         for n, prefix in PREFIXES.items()}
  own['vae'] = {k: v for k, v in names.items() if not k.startswith(tuple(PREFIXES.values()))}
  files = {n: source.select(own[n]) for n in NETWORKS}
  told = json_dict.parse(source.metadata.get('svdjax', '{}'), f'the metadata of {path}')
  metadata.check(told, path)
  untold = {n: fields | told.get(n, {}) for n, fields in UNTOLD.items()}
  specs = {n: f.specs for n, f in files.items()}
  found = {
      'unet': _unet_sizes(specs['unet'], untold['unet'], path),
      'vae': sizes.vae(specs['vae'], 'sgm', index, path) | untold['vae'] | dict(
          groups=32, remat='none'),
      'clip_image': _clip_sizes(specs['clip_image'], untold['clip_image'], path)}
  networks = {n: store.network(n, found[n], files[n], 'sgm', path, index) for n in NETWORKS}
  return networks, told


def _unet_sizes(specs, untold, where):
  """The UNet's sizes; BadInput where it is no video UNet, or its heads are not told."""
  found = sizes.unet(specs, 'sgm', where)
  if found['temporal'] == 'none':
    raise BadInput(f'{where} holds an image model: give the single file of SVD or SV3D, or the '
                   'folder of an image model to from-diffusers')
  width = untold['head_dim']
  widths = tuple(width) if isinstance(width, list) else (width,) * len(found['channels'])
  if not all(map(sizes.divides, widths, found['channels'])):
    raise BadInput(f'{where}: attention heads of {width} do not divide channels '
                   f'{list(found["channels"])}: give a released file, or one that svdjax wrote '
                   'with its metadata')
  return found | untold | dict(head_dim=tuple(width) if isinstance(width, list) else width,
                               groups=32, remat='none')


def _clip_sizes(specs, untold, where):
  """The image encoder's sizes, with the layers that it should have, so that missing ones show."""
  found = sizes.clip_image(specs, 'sgm', untold['heads'], where)
  released = {IMAGE_VIT_H.width: IMAGE_VIT_H.layers}
  layers = untold['layers'] or released.get(found['width'], found['layers'])
  return found | dict(layers=layers)


def convert(file, path, dtype=None, preset=None, raw=False):
  """Writes the svdjax checkpoint of a single file.

  Args:
    file: .safetensors with model, first_stage_model and conditioner.
    path: folder to write.
    dtype: 'float32', 'bfloat16', 'float16', or None for that of the file.
    preset: a name in presets.PRESETS; by default told by the metadata or the vector's width.
    raw: raw weights where the file also has their moving average.

  Raises:
    BadInput: as `read` and `store.write_checkpoint`.
  """
  if pathlib.Path(file).is_dir():
    raise BadInput(f'{file} is a folder: from-sgm takes a .safetensors file, from-diffusers a '
                   'folder')
  networks, told = read(file, raw)
  data = told.get('data', {})
  preset = recipe.preset_of(preset, told.get('preset') or of_model(
      data.get('frames'), networks['unet'].sizes['vector_dim'], data.get('scalar_dim', 256)))
  dtype = store.dtype_of(dtype, [n.source for n in networks.values()])
  config = recipe.config('image-to-video', {n: x.sizes for n, x in networks.items()}, dtype, preset)
  config.data.update({n: data[n] for n in ('frames', 'height', 'width') if n in data})
  store.write_checkpoint(path, config, networks, dtype)
