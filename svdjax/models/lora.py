"""Low-rank adaptation in parameter space (LoRA, 2106.09685): no layer knows of it.

Factors of a kernel NAME [i o] are a flat dict too: NAME/a [i r] and NAME/b [r o].
"""

import jax
import jax.numpy as jnp

from svdjax.core.errors import BadInput
from svdjax.core.params import matches
from svdjax.models import nn

# Attention projections of the UNet: all of them, and those between frames, which SVD's camera
# LoRAs adapt (SVD section 4.3.2).
ATTENTION = r'unet/.*/attn[12]/(to_q|to_k|to_v|to_out/0)/kernel'
TEMPORAL_ATTENTION = r'unet/.*/temporal_transformer_blocks/.*/attn[12]/.*/kernel'


def init(shapes, patterns, rank, key):
  """Factors whose product is zero: a as PyTorch's linear layers start, b zero.

  Args:
    shapes: {name: anything with .shape} of the parameters.
    patterns: regular expressions of the kernels to adapt.
    rank: r.
    key: jax random key; None when shapes alone are wanted.

  Returns:
    {name: fp32 array}.

  Raises:
    BadInput: rank < 1, or no kernel of a linear layer matches.
  """
  if rank < 1:
    raise BadInput(f'LoRA rank must be at least 1, not {rank}')
  chosen = {n: s.shape for n, s in shapes.items() if matches(n, patterns) and len(s.shape) == 2}
  if not chosen:
    raise BadInput(f'no kernel of a linear layer matches {", ".join(patterns)}: names look like '
                   f'{", ".join(sorted(shapes)[:3])}')
  keys, factors = nn.Keys(key), {}
  for name, (i, o) in chosen.items():
    factors[f'{name}/a'] = nn.uniform(keys.params(), (i, rank), i)
    factors[f'{name}/b'] = jnp.zeros((rank, o))
  return factors


def build(shapes, patterns, rank):
  """The factors as a network that is not run: nn.Functional of shapes and `init` alone.

  Raises:
    BadInput: as `init`.
  """
  make = lambda key: init(shapes, patterns, rank, key)
  return nn.Functional(jax.eval_shape(lambda: make(None)), make, None)


def names(factors):
  """The kernels that factors adapt."""
  return [n.removesuffix('/a') for n in factors if n.endswith('/a')]


def merge(params, factors, scale):
  """Adapted parameters: W + scale · a b for each kernel that has factors (LoRA section 4.1).

  Args:
    params: {name: array}.
    factors: as of `init`.
    scale: alpha / r, a number, or {kernel name: number}.

  Returns:
    {name: array} in the dtypes of `params`; the product is computed in fp32.

  Raises:
    BadInput: a kernel is missing or of another shape.
  """
  merged = dict(params)
  for name in names(factors):
    a, b = (factors[f'{name}/{f}'].astype(jnp.float32) for f in 'ab')
    if name not in params or params[name].shape != (a.shape[0], b.shape[1]):
      have = params[name].shape if name in params else 'missing'
      raise BadInput(f'LoRA adapts {name} of shape {(a.shape[0], b.shape[1])}, which is {have} in '
                     'this checkpoint: use the checkpoint that it was trained on')
    own = scale[name] if isinstance(scale, dict) else scale
    kernel = params[name]
    merged[name] = (kernel.astype(jnp.float32) + own * (a @ b)).astype(kernel.dtype)
  return merged
