"""Faults are said and kept; saying them never fails."""

import sys

import jax.numpy as jnp
import pytest

from svdjax.core import faults
from svdjax.core.errors import Stopped
from svdjax.core.skips import Skips


def test_a_fault_is_one_line_and_one_row(tmp_path, capsys):
  faults.Faults(tmp_path).report('save', 'step 3 could not be saved', step=3)
  assert capsys.readouterr().err == 'warning: step 3 could not be saved\n'
  row, = faults.read(tmp_path)
  assert (row['kind'], row['step']) == ('save', 3)


def test_neither_a_missing_folder_nor_a_full_stderr_raises(tmp_path, monkeypatch):
  with open('/dev/full', 'w') as full:
    monkeypatch.setattr(sys, 'stderr', full)
    faults.Faults(tmp_path / 'none').report('save', 'x')
    monkeypatch.undo()
    full.close = lambda: None
  assert faults.read(tmp_path / 'none') == []


def look(skips, flags):
  for step, flag in enumerate(flags):
    skips.see(step, jnp.asarray(flag))
  skips.settle()


def test_skipped_steps_are_counted_on_from_earlier_runs(tmp_path):
  skips = Skips(faults.Faults(tmp_path), total=2)
  look(skips, [False, True, True, True, True, False, True, True, True, True, False])
  assert skips.total == 10
  assert [row['step'] for row in faults.read(tmp_path)] == [1, 2, 3, 4, 6, 7, 8, 9]


def test_five_in_a_row_end_the_run(tmp_path):
  skips = Skips(faults.Faults(tmp_path))
  with pytest.raises(Stopped, match='5 steps in a row, the last step 6'):
    look(skips, [True, False] + [True] * 9)
