"""What a process does that is one of several; with real ones: tests/test_distributed.py."""

import os

import jax
import pytest

from svdjax.core import distributed
from svdjax.core.errors import BadInput, Stopped


@pytest.mark.parametrize('error, code, words', [
    (BadInput('no such data'), 2, 'error: no such data\n'), (Stopped('disk'), 1, 'error: disk\n'),
    (KeyError('name'), 1, 'Traceback')])
def test_what_fails_ends_one_of_several_processes_at_once(monkeypatch, capsys, error, code, words):
  def leave(code):
    raise SystemExit(code)

  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  monkeypatch.setattr(os, '_exit', leave)
  with pytest.raises(SystemExit) as end, distributed.together():
    raise error
  assert end.value.code == code and capsys.readouterr().err.startswith(words)


def test_alone_a_failure_is_the_callers():
  with pytest.raises(KeyError), distributed.together():
    raise KeyError('name')
  assert distributed.agree(True) and not distributed.agree(False)


@pytest.mark.parametrize('given, words', [
    ({'coordinator': 'localhost:1'}, 'belong together'),
    ({'coordinator': 'localhost:1', 'processes': 2, 'process': 2}, 'is not below --processes 2')])
def test_half_a_description_of_the_processes_is_refused(given, words):
  with pytest.raises(BadInput, match=words):
    distributed.initialize(**given)
