"""Where the wall time of a workdir went: one line of goodput.jsonl for each stretch of a run.

Each row holds what a run has spent since the row before, so that the rows of a run sum to its wall
time. What a later run repeats was lost, which only the reader can tell (`summary`). Rows of a start,
before the step that the run goes on from is known, have null for steps.
"""

import collections
import os
import pathlib
import threading
import time

from svdjax.core import jsonl

NAME = 'goodput.jsonl'
KINDS = ('init', 'compile', 'restore', 'data', 'step', 'save', 'preview', 'lost', 'down')
REDONE = ('data', 'step', 'save', 'preview')  # kinds of time that a repeated step makes lost
AHEAD = ('data', 'step')  # kinds of time that go into the step after those that are finished
# Steps that take longer together are written down, and so is a longer stretch of one kind as it
# lasts: of a run that is killed, about so much counts as down.
SECONDS = 5.
CHECKED = 'config.json'  # there once a run has passed its checks; until then nothing is written


def process_start():
  """When this process began, seconds since the epoch; the present where that is not known."""
  try:
    ticks = int(pathlib.Path('/proc/self/stat').read_text().rpartition(')')[2].split()[19])
  except (OSError, ValueError, IndexError):
    return time.time()
  age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf('SC_CLK_TCK')
  return time.time() - age


class Ledger:
  """Attributes wall time to one kind of work after another.

  Args:
    workdir: folder; goodput.jsonl in it is continued.
    began: when the run began, seconds since the epoch; the time until now counts as 'init'.
    written: whether there is a file; of several processes, one writes it.
  """

  def __init__(self, workdir, began=None, written=True):
    self._path, now = pathlib.Path(workdir) / NAME, time.time()
    self._written, self._lock, self._closed = written, threading.RLock(), threading.Event()
    self._began = now if began is None else min(began, now)
    self._clock = time.monotonic() - (now - self._began)  # monotonic time at which the run began
    self._run = f'{self._began:.3f}-{os.getpid()}'
    self._kind, self._since = 'init', self._clock
    self._row, self._lap = collections.Counter(), collections.Counter()
    self._marked, self._step, self._at = self._since, None, None

  def watch(self):
    """Writes long stretches down as they last, on a thread, until `close`; returns itself."""
    if self._written:
      threading.Thread(target=self._watch, name='ledger', daemon=True).start()
    return self

  def _watch(self):
    while not self._closed.wait(SECONDS / 5):
      self.note()

  def note(self):
    """Marks a stretch of one kind that lasts long already, if the run has passed its checks."""
    with self._lock:
      long = time.monotonic() - max(self._marked, self._since) > SECONDS
      if long and not self._closed.is_set() and self._path.with_name(CHECKED).is_file():
        self.mark(self._at)

  def to(self, kind):
    """What follows is `kind` of work; what went before is attributed to the kind before."""
    with self._lock:
      now = time.monotonic()
      for sums in (self._row, self._lap):
        sums[self._kind] += now - self._since
      self._kind, self._since = kind, now

  def lap(self):
    """Seconds by kind since the last lap."""
    with self._lock:
      self.to(self._kind)
      lap, self._lap = self._lap, collections.Counter()
      return lap

  def begin(self, step):
    """The run goes on from this step."""
    with self._lock:
      self._step = self._at = step
      self.mark(step)

  def mark(self, step):
    """Writes what was spent up to this step; if the disk refuses, the next row holds it too."""
    with self._lock:
      self.to(self._kind)
      row = {'run': self._run, 'began': round(self._began, 3),
             'time': round(self._began + self._since - self._clock, 3), 'from': self._step,
             'step': step, 'seconds': {k: round(s, 4) for k, s in self._row.items() if s}}
      self._marked = self._since
      try:
        if self._written:
          jsonl.append(self._path, row)
      except OSError:
        return
      self._row, self._step = collections.Counter(), step

  def tick(self, step):
    """Notes that this many steps are finished; marks it if the last mark is long ago."""
    with self._lock:
      self._at = step
      if time.monotonic() - self._marked > SECONDS:
        self.mark(step)

  def close(self):
    """Marks what is left, if the run has begun; nothing is written afterwards."""
    with self._lock:
      if self._at is not None:
        self.mark(self._at)
      self._closed.set()


def read(workdir):
  """The rows of a ledger, in order."""
  return jsonl.read(pathlib.Path(workdir) / NAME)


def _runs(rows):
  runs = {}
  for row in rows:
    runs.setdefault(row['run'], []).append(row)
  return sorted(runs.values(), key=lambda run: run[0]['began'])


def summary(rows):
  """Where the time from the first start to the last row went.

  Args:
    rows: what `read` returns, not empty.

  Returns:
    {'total': seconds, 'seconds': {kind of KINDS: seconds}, which sum to the total, 'runs': number,
    'steps': that count, 'lost_steps': that a later run repeated}.
  """
  runs, seconds, lost_steps = _runs(rows), dict.fromkeys(KINDS, 0.), 0
  reached = [_reached(run) for run in runs]
  for i, run in enumerate(runs):
    first, last = reached[i]
    kept = min((later for later, _ in reached[i + 1:] if later is not None), default=float('inf'))
    if first is not None:
      lost_steps += max(0, last - max(kept, first))
    for row in run:
      for kind, x in row['seconds'].items():
        lost = _lost_share(row, kind, kept) * x
        seconds['lost'] += lost
        seconds[kind] += x - lost
    if i:
      seconds['down'] += run[0]['began'] - runs[i - 1][-1]['time']
  begun = [pair for pair in reached if pair[0] is not None]
  return {'total': runs[-1][-1]['time'] - runs[0][0]['began'], 'seconds': seconds,
          'runs': len(runs), 'steps': begun[-1][1] - begun[0][0] if begun else 0,
          'lost_steps': lost_steps}


def _reached(run):
  """(step that a run went on from, last step it finished); both None if it never began."""
  begun = [row for row in run if row['step'] is not None]
  return (begun[0]['from'], begun[-1]['step']) if begun else (None, None)


def _lost_share(row, kind, kept):
  """The share of a kind of a row's time that went into steps past the one gone on from later."""
  if kind not in REDONE or row['step'] is None:
    return 0.
  if row['step'] == row['from']:  # amid the next step, or after this one
    return float(row['step'] + (kind in AHEAD) > kept)
  return min(1., max(0., (row['step'] - kept) / (row['step'] - row['from'])))
