"""Refusing bad input at the border, and ending work that cannot go on: one sentence each."""

import sys
import traceback


class BadInput(ValueError):
  """Input that cannot be used; the message names it, the fault and the remedy."""


class Stopped(RuntimeError):
  """Work that cannot go on although its input was fine; the message says what to do."""


def report(error):
  """Says on stderr what ended some work; returns its exit code, 2 if its input was bad."""
  if isinstance(error, (BadInput, Stopped)):
    print(f'error: {error}', file=sys.stderr, flush=True)
  elif isinstance(error, PermissionError):
    print(f'error: {error.filename} may not be read or written: change its permissions or name '
          'another place', file=sys.stderr, flush=True)
  else:
    traceback.print_exception(error)
  return 2 if isinstance(error, (BadInput, PermissionError)) else 1


def run_command(main):
  """Runs a command's `main()`; ends with one line on stderr, and 2 if its input is bad.

  So does a file or folder that permissions guard. Work that had to stop ends with 1.

  Args:
    main: a function of no arguments.
  """
  try:
    main()
  except (BadInput, Stopped, PermissionError) as error:
    sys.exit(report(error))
