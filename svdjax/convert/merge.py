"""A checkpoint with LoRA factors merged into its UNet, which is then one like any other."""

import json
import pathlib

from ml_collections import ConfigDict
import numpy as np

from svdjax import checkpoint
from svdjax.convert import lora, store
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.core.params import part
from svdjax.tasks import parts as parts_lib


def convert(source, destination, lora=None, dtype=None, raw=False):
  """Writes a converted checkpoint.

  Args:
    source: a checkpoint, or the workdir of a LoRA stage, whose own factors are merged.
    destination: a folder that does not exist yet.
    lora: files and weights, as of `convert.lora.parse`.
    dtype: 'float32', 'bfloat16', 'float16', or that of the source.
    raw: raw parameters instead of their moving average.

  Raises:
    BadInput: no factors to merge, or they do not fit.
  """
  config, params, _ = checkpoint.load(source, ema=not raw)
  if not lora and 'lora' not in config.model:
    raise BadInput(f'{source} has no LoRA of its own: pass --lora FILE.safetensors')
  params = merged(config, params, lora)
  model = {name: sizes for name, sizes in config.model.to_dict().items() if name != 'lora'}
  write(source, destination, config, model, params, dtype)


def merged(config, params, files):
  """The parameters with a stage's own factors and those of files merged."""
  params = parts_lib.merged(parts_lib.build(config.model), params)
  return lora.add(params, files, config.model.unet) if files else params


def write(source, destination, config, model, params, dtype):
  """Writes networks, config and tokenizer as a converted checkpoint."""
  target = store.dtype_of(dtype, [weights.Loaded(params)])
  config = ConfigDict(config.to_dict() | {'model': model})
  with store.new_folder(destination) as folder:
    (folder / 'params').mkdir()
    for network in model:
      arrays = {f'{network}/{n}': np.asarray(x) for n, x in part(params, network).items()}
      specs = {n: weights.Spec(x.shape, target) for n, x in arrays.items()}
      weights.require_disk(folder, sum(s.nbytes for s in specs.values()))
      weights.write(checkpoint.converted_file(folder, network), specs,
                    ((n, weights.cast(x, target, n)) for n, x in arrays.items()))
    checkpoint.copy_assets(pathlib.Path(source), folder)
    (folder / 'config.json').write_text(json.dumps(config.to_dict(), indent=2, default=list))
