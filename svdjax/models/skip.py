"""Layers left out in parameter space, for skip-layer guidance: no layer knows of it."""

import re

import jax.numpy as jnp

from svdjax.core.errors import BadInput

# What ends a residual branch of the UNet; at zero, the branch adds nothing.
_ENDS = r'(.*/)?(attn[12]/to_out/0|ff(_in)?/net/2|proj_out|conv2)/(kernel|bias)'
_BLEND = r'(.*/)?time_mixer/mix_factor'  # at infinity, what is between frames adds nothing
MIDDLE = 'unet/mid_block/.*'


def skip(params, pattern):
  """The parameters of the same network with some of its layers skipped.

  Args:
    params: flat {name: array}.
    pattern: regular expression of whole names; residual branches that it matches the end of add
      nothing, temporal layers whose blend it matches are passed by.

  Returns:
    {name: array}, a copy with a few entries replaced.

  Raises:
    BadInput: no such layer matches.
  """
  chosen = {n: x for n, x in params.items() if re.fullmatch(pattern, n)}
  weak = {n: jnp.zeros_like(x) for n, x in chosen.items() if re.fullmatch(_ENDS, n)}
  weak |= {n: jnp.full_like(x, jnp.inf) for n, x in chosen.items() if re.fullmatch(_BLEND, n)}
  if not weak:
    raise BadInput(f'skip_layers "{pattern}" matches no layer that can be skipped: use names such '
                   f'as {MIDDLE} or unet/up_blocks/1/attentions/.*')
  return params | weak
