"""LoRA files under the names of diffusers and PEFT, in and out."""

import json
import math
import pathlib
import re

import numpy as np

from svdjax import checkpoint
from svdjax.convert import mapping, table
from svdjax.core import json_dict, weights
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
BESIDE = 'adapter_config.json'  # the same beside a file that PEFT itself wrote


def modules(kernels, depth):
  """{module in diffusers: kernel of ours} of linear kernels; `depth` is the UNet's table.Depth."""
  return {table.place(n, 2, 'diffusers', depth).name.removesuffix('.weight'): n for n in kernels}


def save(path, factors, alpha, depth):
  """Writes a LoRA file with the names and metadata of diffusers, whose UNet PEFT injects it into.

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
    kernels: {name: shape} of the UNet; those of linear layers may be adapted.
    depth: the UNet's table.Depth.

  Returns:
    (factors, {kernel name: alpha / r}).

  Raises:
    BadInput: not a LoRA file of this UNet; names the first tensor that does not fit.
  """
  source, known = weights.Weights([path]), modules(kernels, depth)
  told, factors, alphas = config(source, path), {}, {}
  for tensor, spec in source.specs.items():
    module, factor = _split(tensor)
    _check_tensor(path, tensor, spec, module, kernels.get(known.get(module)))
    if factor == 'alpha':
      alphas[module] = source.read(tensor).item()
    else:
      factors[f'{known[module]}/{factor}'] = source.read(tensor).T
  if not factors:
    raise BadInput(f'{path} holds no LoRA factors: name a file of lora_A and lora_B tensors')
  for name in {n.rpartition('/')[0] for n in factors}:
    _check(path, name, factors, kernels[name])
  rank = lambda module: factors[f'{known[module]}/a'].shape[1]
  return factors, {known[m]: _scale(path, m, rank(m), told, alphas)
                   for m in known if f'{known[m]}/a' in factors}


def config(source, path):
  """PEFT's config of a LoRA file, from its metadata or the JSON beside it; {} without either.

  Raises:
    BadInput: it is damaged, of a DoRA, or has an alpha_pattern whose keys are no patterns.
  """
  beside = pathlib.Path(path).with_name(BESIDE)
  found = {}
  if METADATA in source.metadata:
    found = json_dict.parse(source.metadata[METADATA], f'the metadata of {path}')
  elif beside.is_file():
    found = json_dict.parse(beside.read_text(errors='replace'), beside)
  found = {name.removeprefix(PREFIX): value for name, value in found.items()}
  if found.get('use_dora'):
    raise BadInput(f'{path} is a DoRA, which rescales kernels too: give a LoRA without use_dora')
  _check_patterns(found.get('alpha_pattern') or {}, path)
  return found


def _check_patterns(patterns, path):
  if not isinstance(patterns, dict):
    raise BadInput(f'{path}: alpha_pattern is {patterns!r}, no object of names and numbers: copy '
                   'the file again')
  for key in patterns:
    try:
      re.compile(key)
    except re.error as error:
      raise BadInput(f'{path}: the name {key!r} in alpha_pattern is no regular expression '
                     f'({error}): copy the file again') from None


def _scale(path, module, rank, told, alphas):
  """alpha / r of a module, or alpha / sqrt(r) where rank-stabilised (rsLoRA, 2312.03732).

  An alpha of the module's own comes before alpha_pattern, whose keys are ends of names, and this
  before lora_alpha. Ranks are those of the tensors, whatever rank_pattern says.
  """
  patterns = told.get('alpha_pattern') or {}
  fits = (value for key, value in patterns.items() if re.match(rf'(.*\.)?({key})$', module))
  alpha = alphas.get(module, next(fits, told.get('lora_alpha')))
  if alpha is None:
    return 1.
  if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
    raise BadInput(f'{path}: the alpha of {module} is {alpha!r}, no number: copy the file again')
  return alpha / (math.sqrt(rank) if told.get('use_rslora') else rank)


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
  kernels = {n: x.shape for n, x in params.items() if re.fullmatch('unet/.*/kernel', n)}
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


def _check_tensor(path, tensor, spec, module, shape):
  """Refuses a tensor that is no factor of a linear kernel; `shape` is the kernel's, or None."""
  if module is None:
    raise BadInput(f'{path}: {tensor} is no factor of a LoRA, such as lora_A.weight and '
                   'lora_B.weight: give a LoRA file')
  if shape is None:
    raise BadInput(f'{path}: {tensor} adapts nothing in this UNet: use the checkpoint that it was '
                   'trained on')
  if len(shape) != 2:
    raise BadInput(f'{path}: {tensor} adapts a convolution: give a LoRA of linear layers '
                   '(attention, feed-forward, projections) alone')
  if spec is None:
    raise BadInput(f'{path}: {tensor} {weights.UNREAD}: save it in fp32, bf16 or fp16')


def _check(path, name, factors, shape):
  a, b = factors.get(f'{name}/a'), factors.get(f'{name}/b')
  if a is None or b is None:
    raise BadInput(f'{path} has one factor alone of {name}: copy the file again')
  if not a.ndim == b.ndim == 2 or (a.shape[0], b.shape[1], a.shape[1]) != (*shape, b.shape[0]):
    raise BadInput(f'{path} adapts {name} with factors {a.shape} and {b.shape}, and it has shape '
                   f'{tuple(shape)}: use the checkpoint that it was trained on')
