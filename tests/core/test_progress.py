"""Progress is a bar on a terminal and a line now and then elsewhere."""

import io
import sys
import time

import pytest

from svdjax.core import progress


class Terminal(io.StringIO):

  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  """Time that passes only when told: clock[0] is now, in seconds."""
  now = [0.]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  return now


def work(clock, total, seconds, initial=0):
  with progress.Progress(total, initial, 'train') as bar:
    for step in range(initial + 1, total + 1):
      clock[0] += seconds
      bar.update(step, {'loss': 1 / step})


def test_fast_work_prints_a_line_for_each_tenth(clock, capsys):
  work(clock, total=1000, seconds=0.01)
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 10
  assert lines[0] == 'train 100/1000 (10 %), 100 steps/s, 00:09 left, loss 0.01'
  assert lines[-1] == 'train 1000/1000 (100 %), 100 steps/s, 00:00 left, loss 0.001'


def test_slow_work_prints_a_line_every_ten_seconds(clock, capsys):
  work(clock, total=100_000, seconds=4, initial=99_900)
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 34  # every third step of 4 s, and the last
  assert lines[0].startswith('train 99903/100000 (99 %), 4 s/step, 06:28 left')


def test_the_rate_is_the_recent_one_so_compilation_is_soon_forgotten(clock, capsys):
  with progress.Progress(10) as bar:
    for step, seconds in (1, 300), (2, 1), (3, 1):
      clock[0] += seconds
      bar.update(step)
  assert '1 steps/s, 00:07 left' in capsys.readouterr().err.splitlines()[-1]


def test_other_units(clock, capsys):
  with progress.Progress(100, label='converting', unit='MiB') as bar:
    clock[0] += 2
    bar.update(50)
    clock[0] += 100
    bar.update(75)
  lines = capsys.readouterr().err.splitlines()
  assert lines == ['converting 50/100 (50 %), 25 MiB/s, 00:02 left',
                   'converting 75/100 (75 %), 4 s/MiB, 01:40 left']


def test_a_step_reported_twice_is_shown_once(clock, capsys):
  with progress.Progress(1) as bar:
    bar.update(1)
    clock[0] += 60
    bar.update(1)
  assert len(capsys.readouterr().err.splitlines()) == 1


def test_metrics_are_only_read_when_shown(clock):
  """Reading one waits for the device."""
  class Metric:
    read = 0

    def __float__(self):
      self.read += 1
      return 1.

  metric = Metric()
  with progress.Progress(1000) as bar:
    for step in range(1, 1001):
      bar.update(step, {'loss': metric})
  assert metric.read == 10


def test_a_terminal_shows_one_bar_that_starts_where_the_run_resumes(monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr(sys, 'stderr', terminal)
  with progress.Progress(100, 40, 'train') as bar:
    for step in range(41, 101):
      time.sleep(0.01)
      bar.update(step, {'loss': 0.25})
  assert terminal.getvalue().count('\n') == 1
  shown = terminal.getvalue().strip().split('\r')
  assert '40/100' in shown[0]
  assert all(part in shown[-1] for part in ('train: 100%', '100/100', 'loss 0.25'))
