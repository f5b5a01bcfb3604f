"""LoRA files under the names of diffusers and PEFT, in and out."""

import json
import math
import pathlib
import re

import numpy as np

from svdjax import checkpoint
from svdjax.convert import mapping, table
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.core.params import part
from svdjax.models import lora

PREFIX = 'unet.'  # of the component, in files of pipelines
# (pattern of a tensor, factor): PEFT's, and those of diffusers before it used PEFT.
FACTORS = ((r'(.*)\.lora_A\.(?:default\.)?weight', 'a'),
           (r'(.*)\.lora_B\.(?:default\.)?weight', 'b'),
           (r'(.*)\.lora\.down\.weight', 'a'), (r'(.*)\.lora\.up\.weight', 'b'),
           (r'(.*)\.alpha', 'alpha'))
METADATA = 'lora_adapter_metadata'  # JSON of the PEFT config, as diffusers stores it


def modules(kernels, depth):
  """{module in diffusers: kernel of ours} of linear kernels; `depth` is the UNet's table.Depth."""
  return {table.place(n, 2, 'diffusers', depth).name.removesuffix('.weight'): n for n in kernels}


def save(path, factors, alpha, depth):
  """Writes a LoRA file that diffusers and PEFT load.

  Args:
    path: .safetensors to write.
    factors: as of lora.init, of the UNet.
    alpha: the product is scaled by alpha / r.
    depth: the UNet's table.Depth.
  """
  specs, tensors = {}, []
  for module, name in modules(lora.names(factors), depth).items():
    for letter, factor in (('A', 'a'), ('B', 'b')):
      array = np.asarray(factors[f'{name}/{factor}']).T
      key = f'{PREFIX}{module}.lora_{letter}.weight'
      specs[key] = weights.Spec(array.shape, array.dtype)
      tensors.append((key, array))
  rank = next(a.shape[0] for n, a in tensors if '.lora_A.' in n)
  config = {'r': rank, 'lora_alpha': alpha, 'peft_type': 'LORA', 'bias': 'none',
            'target_modules': sorted(modules(lora.names(factors), depth))}
  described = json.dumps({PREFIX + name: value for name, value in config.items()})
  weights.require_disk(pathlib.Path(path).parent, sum(s.nbytes for s in specs.values()))
  weights.write(path, specs, tensors, {'format': 'pt', METADATA: described})


def export(workdir):
  """Writes what a LoRA stage has trained as WORKDIR/lora.safetensors."""
  config, params, _ = checkpoint.load(workdir)
  save(pathlib.Path(workdir) / 'lora.safetensors', part(params, 'lora'), config.model.lora.alpha,
       mapping.depth('unet', config.model.unet))


def load(path, kernels, depth):
  """Reads a LoRA file.

  Args:
    path: .safetensors.
    kernels: {name: shape} of linear kernels of the UNet that may be adapted.
    depth: the UNet's table.Depth.

  Returns:
    (factors, {kernel name: alpha / r}).

  Raises:
    BadInput: not a LoRA file of this UNet; names the first tensor that does not fit.
  """
  source, known = weights.Weights([path]), modules(kernels, depth)
  factors, alphas = {}, {}
  for tensor in source.specs:
    module, factor = _split(tensor)
    if module not in known:
      raise BadInput(f'{path}: {tensor} adapts nothing in this UNet: use the checkpoint that it '
                     'was trained on')
    if factor == 'alpha':
      alphas[known[module]] = float(source.read(tensor))
    else:
      factors[f'{known[module]}/{factor}'] = source.read(tensor).T
  for name in {n.rpartition('/')[0] for n in factors}:
    _check(path, name, factors, kernels[name])
  default = json.loads(source.metadata.get(METADATA, '{}')).get(PREFIX + 'lora_alpha')
  scales = {}
  for name in lora.names(factors):
    rank = factors[f'{name}/a'].shape[1]
    alpha = alphas.get(name, default)
    scales[name] = 1. if alpha is None else alpha / rank
  return factors, scales


def parse(text):
  """'pan.safetensors:0.8,zoom.safetensors' -> [(file, weight)], 1 where none is given.

  Raises:
    BadInput: a file that is not there, or a weight that is no finite number.
  """
  found = []
  for each in text.split(','):
    path, colon, weight = each.rpartition(':') if ':' in each else (each, '', '1')
    try:
      found.append((path, float(weight)))
    except ValueError:
      found.append((path, math.nan))
    if not math.isfinite(found[-1][1]):
      raise BadInput(f'--lora {each} has no number after the colon: write FILE.safetensors:0.8')
    if not pathlib.Path(path).is_file():
      raise BadInput(f'--lora {path} is not a file: name a LoRA file, several separated by commas')
  return found


def add(params, text, unet):
  """The parameters with LoRA files merged into the UNet, each with its weight.

  Args:
    params: {name: array} of all networks.
    text: as of `parse`.
    unet: sizes of the UNet, config.model.unet.

  Raises:
    BadInput: as `parse` and `load`.
  """
  kernels = {n: x.shape for n, x in params.items() if re.fullmatch(lora.ATTENTION, n)}
  for path, weight in parse(text):
    factors, scales = load(path, kernels, mapping.depth('unet', unet))
    params = lora.merge(params, factors, {n: weight * x for n, x in scales.items()})
  return params


def _split(tensor):
  """'unet.….to_q.lora_A.weight' -> ('….to_q', 'a'); (None, None) for other names."""
  for pattern, factor in FACTORS:
    if match := re.fullmatch(pattern, tensor):
      return re.sub(r'^(base_model\.model\.)?(unet\.)?', '', match[1]), factor
  return None, None


def _check(path, name, factors, shape):
  a, b = factors.get(f'{name}/a'), factors.get(f'{name}/b')
  if a is None or b is None:
    raise BadInput(f'{path} has one factor alone of {name}: copy the file again')
  if (a.shape[0], b.shape[1]) != tuple(shape) or a.shape[1] != b.shape[0]:
    raise BadInput(f'{path} adapts {name} with factors {a.shape} and {b.shape}, and it has shape '
                   f'{tuple(shape)}: use the checkpoint that it was trained on')
