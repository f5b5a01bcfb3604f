"""Parameters as one flat {name: array}: parts, selection by pattern, and handoff between stages."""

import hashlib
import re
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from svdjax.core.errors import BadInput


def part(params, name):
  """The parameters of one component, without its prefix: {'unet/a': x} -> {'a': x}."""
  return {n[len(name) + 1:]: x for n, x in params.items() if n.startswith(name + '/')}


def prefixed(params, name):
  """The inverse of `part`: {'a': x} -> {'unet/a': x}."""
  return {f'{name}/{n}': x for n, x in params.items()}


def digest(params):
  """Hex digest of names, shapes and fp32 values of {name: array}."""
  found = hashlib.sha256()
  for name in sorted(params):
    x = np.asarray(params[name], np.float32)
    found.update(f'{name}{x.shape}'.encode())
    found.update(np.ascontiguousarray(x))
  return found.hexdigest()


def matches(name, patterns):
  """Whether any of the regular expressions matches the whole name."""
  return any(re.fullmatch(p, name) for p in patterns)


def select(params, patterns):
  """Splits into (those whose name a pattern matches, the rest).

  Raises:
    BadInput: a pattern matches no parameter, which is nearly always a typing error.
  """
  for pattern in patterns:
    if not any(re.fullmatch(pattern, n) for n in params):
      raise BadInput(f'pattern "{pattern}" matches no parameter; names look like '
                     f'{", ".join(sorted(params)[:3])}')
  chosen = {n: x for n, x in params.items() if matches(n, patterns)}
  return chosen, {n: x for n, x in params.items() if n not in chosen}


class Handoff(NamedTuple):
  """What a stage does with the parameters of the one before it: lists of names."""
  taken: list[str]
  widened: list[str]
  fresh: list[str]
  dropped: list[str]

  def describe(self):
    """One line per kind, names shortened to their patterns."""
    rows = []
    for kind, names in self._asdict().items():
      if names:
        groups = sorted({re.sub(r'/\d+(?=/)', '/*', '/'.join(n.split('/')[:3])) for n in names})
        more = f' and {len(groups) - 6} more groups' if len(groups) > 6 else ''
        rows.append(f'{kind} {len(names)}: {", ".join(groups[:6])}{more}')
    return '\n'.join(rows)


def plan_handoff(shapes, source, fresh, dropped, where):
  """Decides by name and shape what is taken over, and refuses what was not expected.

  A parameter is taken if name and shape agree. `widened` kernels agree but for a larger input axis
  (new conditioning channels or scalars); their new rows start at zero.

  Args:
    shapes: {name: ShapeDtypeStruct} of the stage.
    source: {name: anything with .shape} of the previous stage.
    fresh: patterns of names that may start fresh (or be widened).
    dropped: patterns of names of the source that may be left out.
    where: the source's name for error messages.

  Returns:
    A Handoff.

  Raises:
    BadInput: something is missing, left over or of another shape without being expected.
  """
  plan = Handoff([], [], [], [])
  wrong = []
  for name, want in shapes.items():
    have = source.get(name)
    if have is not None and have.shape == want.shape:
      plan.taken.append(name)
    elif have is not None and matches(name, fresh) and _widens(have.shape, want.shape):
      plan.widened.append(name)
    elif have is None and matches(name, fresh):
      plan.fresh.append(name)
    elif have is None:
      wrong.append(f'{name} is missing')
    else:
      wrong.append(f'{name} has shape {have.shape} where {want.shape} is needed')
  plan.dropped.extend(n for n in source if n not in shapes)
  wrong += [f'{n} has no place here' for n in plan.dropped if not matches(n, dropped)]
  if wrong:
    more = f' (and {len(wrong) - 3} more)' if len(wrong) > 3 else ''
    raise BadInput(f'init_from {where} is not a checkpoint this stage can start from: '
                   f'{"; ".join(wrong[:3])}{more}; start from the stage that the experiment file '
                   'names, or list the difference in config.handoff')
  return plan


def _widens(have, want):
  return len(have) == len(want) >= 2 and have[-2] < want[-2] and (
      have[:-2] + have[-1:] == want[:-2] + want[-1:])


def apply_handoff(plan, init, source):
  """Carries out a Handoff: {name: array} from fresh `init` and `source` parameters."""
  params = {n: init[n] for n in plan.fresh}
  params |= {n: source[n] for n in plan.taken}
  for name in plan.widened:
    have, want = source[name], init[name]
    params[name] = jnp.zeros_like(want).at[..., :have.shape[-2], :].set(have)
  return params
