"""Wall time is attributed whole, whatever a run does and wherever it is killed."""

import pathlib
import subprocess
import sys
import time

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


def checked(folder):
  """A workdir whose run has passed its checks."""
  (folder / ledger.CHECKED).touch()
  return folder


def linger(book, clock, kind, seconds):
  """A stretch that lasts long, seen by the thread of the ledger once a second."""
  book.to(kind)
  for _ in range(seconds):
    clock.now += 1.
    book.note()


@pytest.mark.parametrize('kind', ['restore', 'compile', 'step', 'save'])
def test_a_long_stretch_is_written_down_as_it_lasts(tmp_path, clock, kind):
  book = ledger.Ledger(checked(tmp_path), clock.now)
  if kind != 'restore':
    book.begin(7)
  linger(book, clock, kind, 23)  # and is killed
  rows = ledger.read(tmp_path)
  found = sum(row['seconds'].get(kind, 0.) for row in rows)
  assert 23. - ledger.SECONDS - 1. <= found <= 23.
  assert {row['step'] for row in rows} == {None if kind == 'restore' else 7}


def test_short_stretches_are_left_to_the_steps(tmp_path, clock):
  book = start(checked(tmp_path), clock, 0)
  for _ in range(20):
    linger(book, clock, 'data', 1)
    linger(book, clock, 'step', 3)
  assert len(ledger.read(tmp_path)) == 1


def test_nothing_is_written_of_a_run_that_has_not_passed_its_checks(tmp_path, clock):
  book = ledger.Ledger(tmp_path, clock.now)
  linger(book, clock, 'init', 60)
  book.close()
  assert not list(tmp_path.iterdir())


def test_nothing_is_written_after_the_end(tmp_path, clock):
  book = start(checked(tmp_path), clock, 0)
  book.close()
  linger(book, clock, 'save', 60)
  assert len(ledger.read(tmp_path)) == 2


def test_starts_that_were_killed_lose_no_step_and_count_none(tmp_path, clock):
  book = start(checked(tmp_path), clock, 0)
  steps(book, clock, 0, 4)
  for at in (5, 6):
    spend(book, clock, 'step', 6.)
    book.tick(at)
  linger(ledger.Ledger(tmp_path, clock.now), clock, 'restore', 12)  # killed
  found = ledger.summary(ledger.read(tmp_path))
  assert (found['runs'], found['steps'], found['lost_steps']) == (2, 6, 0)
  assert found['seconds']['lost'] == 0. and found['seconds']['restore'] == pytest.approx(12.)
  again = start(tmp_path, clock, 4)
  steps(again, clock, 4, 6)
  linger(ledger.Ledger(tmp_path, clock.now), clock, 'restore', 6)  # killed, too
  found = ledger.summary(ledger.read(tmp_path))
  assert (found['runs'], found['steps'], found['lost_steps']) == (4, 6, 2)
  assert found['seconds']['lost'] == pytest.approx(12.)


def test_a_step_or_save_amid_which_a_run_is_killed_is_lost(tmp_path, clock):
  for kind in ('step', 'save'):
    book = start(checked(tmp_path), clock, 4)
    steps(book, clock, 4, 5)
    if kind == 'save':
      spend(book, clock, 'step', 3.)
      book.tick(6)
    linger(book, clock, kind, 6)
    start(tmp_path, clock, 5).close()  # saved before
    found = ledger.summary(ledger.read(tmp_path))['seconds']
    assert found['lost'] == pytest.approx({'step': 6., 'save': 3. + 6.}[kind])
    (tmp_path / ledger.NAME).unlink()


def test_a_start_alone_has_a_summary(tmp_path, clock):
  linger(ledger.Ledger(checked(tmp_path), clock.now), clock, 'restore', 6)
  found = ledger.summary(ledger.read(tmp_path))
  assert found['total'] == pytest.approx(6.) == found['seconds']['restore']
  assert (found['runs'], found['steps'], found['lost_steps']) == (1, 0, 0)


_RUN = '''
import sys, time
from svdjax.core import ledger
ledger.SECONDS = 0.2
book = ledger.Ledger(sys.argv[1], ledger.process_start()).watch()
book.begin(0)
book.to('compile')
print('compiles', flush=True)
time.sleep(float(sys.argv[2]))
book.close()
print('closed', flush=True)
'''


def run(folder, compiles):
  """A process that compiles for so many seconds; stdout tells when it begins to and has ended."""
  return subprocess.Popen([sys.executable, '-c', _RUN, folder, str(compiles)], text=True,
                          cwd=pathlib.Path(__file__).parents[2], stdout=subprocess.PIPE)


def test_a_run_killed_in_compile_leaves_its_time_and_all_sums_to_wall_time(tmp_path):
  """T22, of two real processes and a clock outside of them."""
  checked(tmp_path)
  began = time.monotonic()
  with run(tmp_path, 100.) as process:
    process.stdout.readline()
    time.sleep(2.)
    process.kill()
  compiled = sum(row['seconds'].get('compile', 0.) for row in ledger.read(tmp_path))
  assert compiled == pytest.approx(2., abs=0.5)
  with run(tmp_path, 2.) as process:
    assert [process.stdout.readline() for _ in range(2)] == ['compiles\n', 'closed\n']
    seconds = time.monotonic() - began
  found = ledger.summary(ledger.read(tmp_path))
  assert sum(found['seconds'].values()) == pytest.approx(seconds, abs=0.3)
  assert found['seconds']['down'] < 1.


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
  assert 0. <= time.time() - ledger.process_start() < 86_400.


@hypothesis.settings(max_examples=50, deadline=None, suppress_health_check=list(
    hypothesis.HealthCheck))
@hypothesis.given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.floats(0., 20.)),
                           min_size=1, max_size=6))
def test_kinds_sum_to_wall_time_however_often_a_run_is_killed(tmp_path_factory, monkeypatch, runs):
  """Each run saves after some steps, makes more, and dies some time later."""
  clock, folder, saved = Clock(), tmp_path_factory.mktemp('run'), 0
  began = clock.now
  monkeypatch.setattr(ledger, 'time', clock)
  for to_save, more, gap in runs:
    book = start(folder, clock, saved)
    steps(book, clock, saved, saved + to_save)
    saved += to_save
    for at in range(saved + 1, saved + more + 1):
      spend(book, clock, 'step', 4.)
      book.tick(at)
    clock.now += gap
  start(folder, clock, saved).close()
  found = ledger.summary(ledger.read(folder))
  assert sum(found['seconds'].values()) == pytest.approx(clock.now - began, abs=1e-2)
  assert all(s >= -1e-3 for s in found['seconds'].values())
