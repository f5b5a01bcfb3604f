"""JSON objects from files and metadata that may be damaged."""

import json

from svdjax.core.errors import BadInput


def parse(text, where, remedy='copy the file again'):
  """The dict that a JSON text holds.

  Args:
    text: of the file or entry.
    where: its name, for the message.
    remedy: what to do where it is damaged.

  Raises:
    BadInput: the text is not JSON, or of another type than an object.
  """
  try:
    found = json.loads(text)
  except ValueError as error:
    raise BadInput(f'{where} is not JSON ({error}): {remedy}') from None
  if not isinstance(found, dict):
    raise BadInput(f'{where} holds a JSON {type(found).__name__} where an object is needed: '
                   f'{remedy}')
  return found


def flat(tree, prefix=''):
  """{'train.steps': value} of a dict of dicts."""
  if isinstance(tree, dict):
    return {k: v for name, value in tree.items()
            for k, v in flat(value, f'{prefix}{name}.').items()}
  return {prefix[:-1]: tree}
