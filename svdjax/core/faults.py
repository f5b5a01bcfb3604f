"""What goes wrong without ending a run: said once, loudly, and kept beside it."""

import contextlib
import pathlib
import sys
import time

from svdjax.core import jsonl


def say(text):
  """Prints a line on stderr; where that cannot be written (a full disk), nothing happens."""
  with contextlib.suppress(OSError, ValueError):
    print(text, file=sys.stderr, flush=True)


class Faults:
  """Faults that a run survived, as lines on stderr and rows of `workdir`/faults.jsonl.

  Those of a process that is `silent`, as it sees what another reports, are not reported.
  """

  def __init__(self, workdir, silent=False):
    self._silent, self._path = silent, pathlib.Path(workdir) / 'faults.jsonl'

  def report(self, kind, text, own=False, **fields):
    """Reports one fault; never raises.

    Args:
      kind: short code: checkpoint, save, step, record, preview.
      text: a sentence.
      own: no other process sees it, so that a silent one says it too.
      **fields: JSON values, e.g. the step.
    """
    if self._silent and not own:
      return
    say(f'warning: {text}')
    if self._silent:
      return
    row = {'time': round(time.time(), 3), 'kind': kind, **fields, 'text': text}
    with contextlib.suppress(OSError):
      jsonl.append(self._path, row)


def read(workdir):
  """The faults of a workdir so far, a list of {'time', 'kind', 'text', ...}."""
  return jsonl.read(pathlib.Path(workdir) / 'faults.jsonl')
