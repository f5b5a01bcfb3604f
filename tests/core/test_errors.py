"""Commands end with one line, and with a code that says whose fault it was."""

import pytest

from svdjax.core.errors import BadInput, Stopped, run_command


@pytest.mark.parametrize('error, line, code', [
    (BadInput('--steps 0 is too few: use 1 or more'), 'error: --steps 0 is too few: use 1', 2),
    (Stopped('the disk is full: free some space'), 'error: the disk is full', 1),
    (PermissionError(13, 'denied', '/locked/toy'), 'error: /locked/toy may not be read', 2)])
def test_one_line_and_a_code(capsys, error, line, code):
  def main():
    raise error

  with pytest.raises(SystemExit) as end:
    run_command(main)
  said, = capsys.readouterr().err.splitlines()
  assert said.startswith(line) and end.value.code == code


def test_a_fault_of_the_program_keeps_its_traceback():
  with pytest.raises(ZeroDivisionError):
    run_command(lambda: 1 / 0)


def test_what_goes_well_is_silent(capsys):
  run_command(lambda: None)
  assert capsys.readouterr().err == ''
