"""Layers left out in parameter space, for skip-layer guidance: no layer knows of it."""

import re

import jax.numpy as jnp

from svdjax.core.errors import BadInput

# What ends a residual branch of the UNet; at zero, the branch adds nothing.
_ENDS = r'(.*/)?(attn[12]/to_out/0|ff(_in)?/net/2|proj_out|conv2)/(kernel|bias)'
_BLEND = r'(.*/)?time_mixer/mix_factor'  # at infinity, what is between frames adds nothing
_BLOCK = re.compile(r'unet/([a-z]+_blocks/\d+|[a-z]+_block)/')
MIDDLE = 'unet/mid_block/.*'


def matched(names, pattern):
  """What of a network a pattern skips.

  Args:
    names: of its parameters.
    pattern: regular expression of whole names.

  Returns:
    (names that end a residual branch, names of temporal blends).

  Raises:
    BadInput: no regular expression, or no layer that can be skipped matches.
  """
  names = list(names)
  try:
    chosen = [n for n in names if re.fullmatch(pattern, n)]
  except (re.error, OverflowError, RecursionError) as error:
    raise BadInput(f'skip_layers "{pattern}" is not a regular expression ({error}): use one of '
                   f'whole names, such as {MIDDLE}') from None
  ends = [n for n in chosen if re.fullmatch(_ENDS, n)]
  blends = [n for n in chosen if re.fullmatch(_BLEND, n)]
  if not ends and not blends:
    blocks = dict.fromkeys(m[0] for m in map(_BLOCK.match, sorted(names)) if m)
    raise BadInput(f'skip_layers "{pattern}" matches no layer that can be skipped: use whole names '
                   f'such as {MIDDLE}, of layers in {", ".join(blocks)}')
  return ends, blends


def skip(params, pattern):
  """The parameters of the same network with some of its layers skipped.

  Args:
    params: flat {name: array}.
    pattern: regular expression of whole names; residual branches that it matches the end of add
      nothing, temporal layers whose blend it matches are passed by.

  Returns:
    {name: array}, a copy with a few entries replaced.

  Raises:
    BadInput: as `matched`.
  """
  ends, blends = matched(params, pattern)
  return (params | {n: jnp.zeros_like(params[n]) for n in ends}
          | {n: jnp.full_like(params[n], jnp.inf) for n in blends})
