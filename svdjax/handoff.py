"""What a stage starts from: fresh parameters and those of the stages named by config.init_from."""

from typing import NamedTuple

from svdjax import checkpoint
from svdjax.core.errors import BadInput
from svdjax.core.params import apply_handoff, plan_handoff
from svdjax.core.rng import key_of


class Start(NamedTuple):
  """Parameters of all networks of a stage and where they came from."""
  params: dict
  report: str


def sources(init_from):
  """The folders of config.init_from, a comma-separated list."""
  return [path for path in init_from.split(',') if path]


def read(init_from):
  """The EMA parameters of all folders; earlier ones win where two have the same name.

  Raises:
    BadInput: a folder is not a workdir with a saved step.
  """
  merged = {}
  for path in sources(init_from):
    try:
      merged = checkpoint.load(path)[1] | merged
    except BadInput as error:
      raise BadInput(f'init_from: {error}') from None
  return merged


def start(config, parts):
  """Fresh parameters where config.handoff.fresh allows it, those of config.init_from elsewhere.

  Raises:
    BadInput: init_from is missing though needed, or not what this stage starts from.
  """
  fresh = tuple(config.handoff.fresh)
  if not sources(config.init_from) and config.handoff.after:
    raise BadInput(f'init_from is not set: this stage starts from {config.handoff.after}; pass '
                   '--config.init_from=WORKDIR (several, separated by commas)')
  source = read(config.init_from)
  plan = plan_handoff(parts.shapes, source, fresh, tuple(config.handoff.dropped),
                      config.init_from or '(nothing)')
  needed = {n.split('/')[0] for n in plan.fresh + plan.widened}
  key = lambda name: key_of(config.seed, name)
  params = apply_handoff(plan, parts.init(key, sorted(needed)), source)
  return Start(params, plan.describe())
