"""Refusing bad input at the border: one sentence, exit code 2."""

import sys


class BadInput(ValueError):
  """Input that cannot be used; the message names it, the fault and the remedy."""


def run_command(main):
  """Runs a command's `main()` and exits 2 with one line on stderr if its input is bad.

  Args:
    main: a function of no arguments.
  """
  try:
    main()
  except BadInput as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
