"""Where the wall time of a workdir went: one line of goodput.jsonl for each stretch of a run.

Each row holds what a run has spent since the row before, so that the rows of a run sum to its wall
time. What a later run repeats was lost, which only the reader can tell (`summary`).
"""

import collections
import os
import pathlib
import time

from svdjax.core import jsonl

NAME = 'goodput.jsonl'
KINDS = ('init', 'compile', 'restore', 'data', 'step', 'save', 'preview', 'lost', 'down')
REDONE = ('data', 'step', 'save', 'preview')  # kinds of time that a repeated step makes lost
# Steps that take longer together are written down. What is not when a run is killed counts as down: at
# most about so long, but all of a start, restore or compilation.
SECONDS = 5.


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
    self._written = written
    self._began = now if began is None else min(began, now)
    self._clock = time.monotonic() - (now - self._began)  # monotonic time at which the run began
    self._run = f'{self._began:.3f}-{os.getpid()}'
    self._kind, self._since = 'init', self._clock
    self._row, self._lap = collections.Counter(), collections.Counter()
    self._marked, self._step, self._at = self._since, 0, None

  def to(self, kind):
    """What follows is `kind` of work; what went before is attributed to the kind before."""
    now = time.monotonic()
    for sums in (self._row, self._lap):
      sums[self._kind] += now - self._since
    self._kind, self._since = kind, now

  def lap(self):
    """Seconds by kind since the last lap."""
    self.to(self._kind)
    lap, self._lap = self._lap, collections.Counter()
    return lap

  def begin(self, step):
    """The run goes on from this step."""
    self._step = self._at = step
    self.mark(step)

  def mark(self, step):
    """Writes what was spent up to this step; if the disk refuses, the next row holds it too."""
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
    self._at = step
    if time.monotonic() - self._marked > SECONDS:
      self.mark(step)

  def close(self):
    """Marks what is left, if the run has begun."""
    if self._at is not None:
      self.mark(self._at)


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
  for i, run in enumerate(runs):
    kept = min((later[0]['step'] for later in runs[i + 1:]), default=float('inf'))
    lost_steps += max(0, run[-1]['step'] - max(kept, run[0]['step']))
    for row in run:
      share = _lost_share(row, kept)
      for kind, x in row['seconds'].items():
        lost = share * x if kind in REDONE else 0.
        seconds['lost'] += lost
        seconds[kind] += x - lost
    if i:
      seconds['down'] += run[0]['began'] - runs[i - 1][-1]['time']
  return {'total': runs[-1][-1]['time'] - runs[0][0]['began'], 'seconds': seconds,
          'runs': len(runs), 'steps': runs[-1][-1]['step'] - runs[0][0]['from'],
          'lost_steps': lost_steps}


def _lost_share(row, kept):
  """The share of a row's steps that are past the one that a later run went on from."""
  steps = row['step'] - row['from']
  if row['step'] <= kept:
    return 0.
  return min(1., (row['step'] - kept) / steps) if steps else 1.
