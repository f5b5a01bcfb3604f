"""Which records of a data folder a stage is trained on."""

import json

from svdjax.core.errors import BadInput
from svdjax.inputs import record


class Chosen:
  """Random access to some entries of a source.

  Args:
    source: what has __getitem__ of an index.
    kept: indices into it.
  """

  def __init__(self, source, kept):
    self.source, self.kept = source, kept

  def __len__(self):
    return len(self.kept)

  def __getitem__(self, index):
    return self.source[self.kept[index]]


def motions(source, schema=None):
  """The motion scores of all records of a source."""
  return [float(record.decode(source[i], schema)['motion']) for i in range(len(source))]


def filmed(source, moves, where, schema=None):
  """The records of a source whose truth tells one of some camera moves ('none': it stands still).

  Args:
    source: serialized records.
    moves: names, as in the truth's {'camera': {'move'}}.
    where: the source's name for messages.
    schema: of the records.

  Raises:
    BadInput: there are none.
  """
  kept, known = [], set()
  for i in range(len(source)):
    truth = json.loads(record.decode(source[i], schema)['truth'] or '{}')
    move = truth['camera']['move'] if 'camera' in truth and 'azimuth' not in truth else None
    known |= {move} - {None}
    if move in moves:
      kept.append(i)
  if not kept:
    told = f'it has {", ".join(sorted(known))}' if known else 'none of its clips tells its camera'
    raise BadInput(f'{where} has no clip whose camera moves {" or ".join(moves)} ({told}): make '
                   'some with `python -m data.toyworld --kinds camera`, or set config.data.camera')
  return Chosen(source, kept)
