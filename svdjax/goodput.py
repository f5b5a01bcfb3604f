"""Where the wall time of a workdir went, over all its runs.

    python -m svdjax.goodput --workdir DIR [--json]

`lost` is work that a later run had to repeat, `down` the time between runs.
"""

import argparse
import json

from svdjax.core import ledger
from svdjax.core.errors import BadInput, run_command

NAMES = {'data': 'data wait'}


def table(found):
  """A ledger's summary as lines of text."""
  lines = [f'{"":10s} {"seconds":>9s}  share']
  for kind, seconds in found['seconds'].items():
    share = seconds / max(found['total'], 1e-9)
    lines.append(f'{NAMES.get(kind, kind):10s} {seconds:9.1f}  {share:6.1%}')
  lines.append(f'{"total":10s} {found["total"]:9.1f}  in {found["runs"]} runs, {found["steps"]} '
               f'steps, {found["lost_steps"]} of them twice')
  return '\n'.join(lines)


def main(argv=None):
  """Prints the ledger of a workdir."""
  parser = argparse.ArgumentParser(prog='python -m svdjax.goodput', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True, help='of a run')
  parser.add_argument('--json', action='store_true', help='print JSON')
  args = parser.parse_args(argv)
  rows = ledger.read(args.workdir)
  if not rows:
    raise BadInput(f'workdir {args.workdir} has no {ledger.NAME}: give the --workdir of a run')
  found = ledger.summary(rows)
  print(json.dumps(found) if args.json else table(found))


if __name__ == '__main__':
  run_command(main)
