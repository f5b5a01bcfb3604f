"""What a run is asked: by its command line, or where that is silent by the run before."""

import dataclasses

from data.curation import ledger
from data.curation import manifest
from data.curation.settings import Settings
from svdjax.core.errors import BadInput

_CUTTING = tuple(f.name for f in dataclasses.fields(Settings) if f.name != 'fade_change')


@dataclasses.dataclass(frozen=True)
class Request:
  """All that clips and what is said of them depend on.

  Attributes:
    sources: [manifest.Source].
    settings: Settings.
    annotate: annotators as on the command line, in the order they are asked.
  """
  sources: list
  settings: Settings
  annotate: tuple


def write(path, request):
  """Writes a Request to a file of the ledger."""
  ledger.write(path, dataclasses.asdict(request))


def read(path):
  """The Request in a file, or None if there is none that this version can read."""
  try:
    row = ledger.read(path)
    given = row['settings'] | {'cascade': tuple(map(tuple, row['settings']['cascade']))}
    return Request([manifest.Source(**s) for s in row['sources']], Settings(**given),
                   tuple(row['annotate']))
  except (TypeError, KeyError):
    return None


def parse_cascade(text):
  """'0:10,8:13' -> ((0.0, 10.0), (8.0, 13.0)).

  Raises:
    BadInput: it is not of this form, or does not begin with all frames.
  """
  try:
    levels = tuple(tuple(map(float, level.split(':'))) for level in text.split(','))
  except ValueError:
    levels = ()
  if not levels or any(len(l) != 2 or l[0] < 0 or l[1] <= 0 for l in levels) or levels[0][0]:
    raise BadInput(f'--cascade "{text}" is not understood: write RATE:THRESHOLD,… beginning with '
                   'rate 0, like 0:10,8:13,2:16')
  return levels


def _settings(args):
  """The Settings of a command line, with their own values where it says nothing."""
  given = {name: getattr(args, name) for name in _CUTTING if getattr(args, name) is not None}
  if args.cascade is not None:
    given['cascade'] = parse_cascade(args.cascade)
  settings = Settings(**given)
  if not 0 < settings.min_seconds <= settings.max_seconds:
    raise BadInput(f'--min-seconds {settings.min_seconds:g} and --max-seconds '
                   f'{settings.max_seconds:g} leave no clip: give numbers above 0 that ascend')
  return settings


def make(args, before):
  """What a command line asks for, where it says nothing what the run before was asked.

  Args:
    args: of `parse_args`.
    before: Request of the run before, or None.

  Returns:
    Request.

  Raises:
    BadInput: there is nothing to go on with; or clips would have to be cut anew without --input.
  """
  wanted = _settings(args)
  if args.input:
    return Request(manifest.find(args.input, args.output), wanted, tuple(args.annotate or ()))
  if not before:
    raise BadInput(f'--input is missing, and output {args.output} holds no earlier run: name the '
                   'videos')
  for name in _CUTTING:
    then, now = getattr(before.settings, name), getattr(wanted, name)
    if getattr(args, name) is not None and now != then:
      raise BadInput(f'--{name.replace("_", "-")} is not what the clips in {args.output} were cut '
                     'with: cutting anew needs the videos, so give --input too')
  annotate = before.annotate if args.annotate is None else tuple(args.annotate)
  return dataclasses.replace(before, annotate=annotate)
