"""The planning command: a table, or one sentence."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def plan(*arguments):
  return subprocess.run(
      [sys.executable, '-m', 'svdjax.plan', '--config', 'tests/nano.py:i2v_14f,base',
       '--config.mesh.data=0', *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_plan_of_a_stage_without_data_or_earlier_stages():
  done = plan('--topology', 'v5e:2x2', '--config.train.batch_size=4')
  assert done.returncode == 0, done.stderr
  for words in ('4 (v5e:2x2)', 'of 16.00 GiB', 'TFLOP a step', 'chip-hours', 'Assumed: 70%'):
    assert words in done.stdout


def test_what_does_not_fit_is_refused_with_its_table_and_what_would():
  done = plan('--topology', 'v5e:2x2', '--config.train.batch_size=1000000')
  assert done.returncode == 2 and 'activations and the rest' in done.stdout
  line, = done.stderr.splitlines()
  assert line.startswith('error: this does not fit: ') and 'config.train.accumulate=' in line


@pytest.mark.parametrize('arguments, words', [
    ((), '--topology is not set: use --config experiments/i2v_14f.py --topology v5e:16x16'),
    (('--topology', 'v5e:2x2', '--config.model.unet.temporal=x'), 'model.unet.temporal "x" is'),
    (('--topology', 'v5e:2x2'), 'config.train.batch_size 2 is not divisible by')])
def test_what_cannot_run_is_refused_in_one_sentence(arguments, words):
  done = plan(*arguments)
  assert done.returncode == 2 and not done.stdout
  line, = done.stderr.splitlines()
  assert line.startswith('error: ') and words in line
