"""Wall time is attributed whole, whatever a run does and wherever it is killed."""

import hypothesis
from hypothesis import strategies as st
import pytest

from svdjax.core import ledger


class Clock:
  """Stands in for the time module."""

  def __init__(self):
    self.now = 1000.

  def time(self):
    return self.now

  def monotonic(self):
    return self.now - 400.


@pytest.fixture
def clock(monkeypatch):
  clock = Clock()
  monkeypatch.setattr(ledger, 'time', clock)
  return clock


def spend(book, clock, kind, seconds):
  book.to(kind)
  clock.now += seconds


def steps(book, clock, first, last, data=1., step=3.):
  """Steps after `first` up to `last`, then a save of 2 s."""
  for at in range(first + 1, last + 1):
    spend(book, clock, 'data', data)
    spend(book, clock, 'step', step)
    book.tick(at)
  spend(book, clock, 'save', 2.)
  book.mark(last)


def start(folder, clock, step, init=10.):
  book = ledger.Ledger(folder, clock.now)
  clock.now += init
  book.begin(step)
  return book


def test_an_uninterrupted_run(tmp_path, clock):
  book = start(tmp_path, clock, 0)
  steps(book, clock, 0, 4)
  spend(book, clock, 'preview', 5.)
  book.close()
  found = ledger.summary(ledger.read(tmp_path))
  assert found['total'] == pytest.approx(33.)
  spent = {k: s for k, s in found['seconds'].items() if s}
  assert spent == pytest.approx({'init': 10., 'data': 4., 'step': 12., 'save': 2., 'preview': 5.})
  assert (found['runs'], found['steps'], found['lost_steps']) == (1, 4, 0)


def test_what_a_later_run_repeats_is_lost_and_the_time_between_is_down(tmp_path, clock):
  book = start(tmp_path, clock, 0)
  steps(book, clock, 0, 4)
  for at in (5, 6):
    spend(book, clock, 'step', 6.)
    book.tick(at)
  clock.now += 7.  # killed in a step of which no row was written; the next run starts later
  again = start(tmp_path, clock, 4)
  steps(again, clock, 4, 6)
  found = ledger.summary(ledger.read(tmp_path))
  seconds = found['seconds']
  assert seconds['lost'] == pytest.approx(12.) and found['lost_steps'] == 2
  assert seconds['down'] == pytest.approx(7.) and seconds['init'] == pytest.approx(20.)
  assert seconds['step'] == pytest.approx(18.) and found['steps'] == 6
  assert sum(seconds.values()) == pytest.approx(found['total']) and found['runs'] == 2


def test_time_before_the_ledger_counts_as_init(tmp_path, clock):
  book = ledger.Ledger(tmp_path, clock.now - 30.)
  book.begin(0)
  assert ledger.read(tmp_path)[0]['seconds'] == {'init': 30.}


def test_laps_are_what_was_spent_since_the_last(tmp_path, clock):
  book = start(tmp_path, clock, 0)
  book.lap()
  spend(book, clock, 'data', 1.)
  spend(book, clock, 'step', 3.)
  assert book.lap() == {'init': 0., 'data': 1., 'step': 3.}
  assert book.lap().total() == 0.


def test_a_row_that_the_disk_refused_is_in_the_next(tmp_path, clock):
  book = start(tmp_path / 'later', clock, 0)
  spend(book, clock, 'step', 3.)
  book.mark(1)
  (tmp_path / 'later').mkdir()
  spend(book, clock, 'step', 3.)
  book.mark(2)
  row, = ledger.read(tmp_path / 'later')
  assert row['seconds'] == {'init': 10., 'step': 6.} and (row['from'], row['step']) == (0, 2)


def test_the_start_of_this_process_is_in_the_past():
  import time
  assert 0. <= time.time() - ledger.process_start() < 86_400.


@hypothesis.settings(max_examples=50, deadline=None, suppress_health_check=list(
    hypothesis.HealthCheck))
@hypothesis.given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.floats(0., 20.)),
                           min_size=1, max_size=6))
def test_kinds_sum_to_wall_time_however_often_a_run_is_killed(tmp_path_factory, monkeypatch, runs):
  """Each run saves after some steps, makes more, and dies some time later."""
  clock, folder, saved = Clock(), tmp_path_factory.mktemp('run'), 0
  monkeypatch.setattr(ledger, 'time', clock)
  for to_save, more, gap in runs:
    book = start(folder, clock, saved)
    steps(book, clock, saved, saved + to_save)
    saved += to_save
    for at in range(saved + 1, saved + more + 1):
      spend(book, clock, 'step', 4.)
      book.tick(at)
    clock.now += gap
  found = ledger.summary(ledger.read(folder))
  assert sum(found['seconds'].values()) == pytest.approx(found['total'], abs=1e-2)
  assert all(s >= -1e-3 for s in found['seconds'].values())
