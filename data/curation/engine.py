"""Runs a stage function over items: in this process, or in worker processes that may die."""

import collections
import dataclasses
import multiprocessing
from multiprocessing import connection as connections
import time

from data.curation import pulse

PATIENCE = 60.0  # seconds without a sign of life after which a worker is taken to hang
_START = 120.0  # seconds more for the imports of a new worker
_ATTEMPTS = 2


@dataclasses.dataclass(frozen=True)
class Broken:
  """In place of a result: why there is none.

  Attributes:
    code: CRASH or TIMEOUT, see failures.CODES.
    message: one sentence.
    attempt: how often the item was tried.
  """
  code: str
  message: str
  attempt: int = 1


def call(function, item):
  """function(item), or Broken if it raises."""
  try:
    return function(item)
  except Exception as error:  # pylint: disable=broad-exception-caught
    return Broken('CRASH', f'{type(error).__name__}: {error}')


class Here:
  """Runs items one after another in this process."""

  def __init__(self, function):
    """Args: function: of one item."""
    self.function = function

  def map(self, items):
    """Yields (item, result or Broken) in the order of items."""
    for item in items:
      yield item, call(self.function, item)

  def close(self):
    """Nothing is left running."""


def _serve(pipe, pulse_of_worker, function):
  pulse.watch(pulse_of_worker)
  while True:
    try:
      item = pipe.recv()
    except EOFError:
      return
    pulse.beat()
    pipe.send(call(function, item))


class _Worker:
  """A child process that works on one item at a time."""

  def __init__(self, context, function):
    self.pulse = context.Value('d', time.monotonic() + _START, lock=False)
    self.pipe, theirs = context.Pipe()
    self.process = context.Process(target=_serve, args=(theirs, self.pulse, function), daemon=True)
    self.process.start()
    theirs.close()
    self.item = None

  def give(self, item):
    self.item, self.pulse.value = item, max(self.pulse.value, time.monotonic())
    self.pipe.send(item)

  def result(self):
    """Its result, or Broken if it died."""
    try:
      return self.pipe.recv()
    except (EOFError, ConnectionResetError):
      self.process.join()
      return Broken('CRASH', f'the worker died with exit code {self.process.exitcode}')

  def stop(self):
    self.process.kill()
    self.process.join()
    self.pipe.close()


class Workers:
  """Runs items in child processes; one that dies or hangs costs its item, not the run.

  Args:
    function: of one item, importable by name or a partial of such.
    count: processes.
    patience: seconds without `pulse.beat` after which a process is killed.
  """

  def __init__(self, function, count, patience=PATIENCE):
    self.function, self.count, self.patience = function, count, patience
    self._context = multiprocessing.get_context('spawn')
    self._idle, self._busy = [], []

  def map(self, items):
    """Yields (item, result or Broken) as they come; an item that breaks is tried once more."""
    waiting, attempts = collections.deque(items), collections.Counter()
    while waiting or self._busy:
      while waiting and len(self._busy) < self.count:
        worker = self._idle.pop() if self._idle else _Worker(self._context, self.function)
        worker.give(waiting.popleft())
        self._busy.append(worker)
      for worker, result in self._finished():
        item, key = worker.item, repr(worker.item)
        died = not worker.process.is_alive()
        (worker.stop if died else lambda: self._idle.append(worker))()
        attempts[key] += 1
        if died and attempts[key] < _ATTEMPTS:
          waiting.append(item)
        else:
          yield item, dataclasses.replace(result, attempt=attempts[key]) if died else result

  def _finished(self):
    """[(worker, result)] of those that are done, dead or killed for hanging; waits for one."""
    ready = connections.wait([w.pipe for w in self._busy], timeout=1.0)
    done = [(w, w.result()) for w in self._busy if w.pipe in ready]
    now = time.monotonic()
    for worker in self._busy:
      if worker.pipe not in ready and now - worker.pulse.value > self.patience:
        worker.process.kill()
        worker.process.join()
        done.append((worker, Broken('TIMEOUT', f'no sign of life for {self.patience:.0f} s')))
    finished = [worker for worker, _ in done]
    self._busy = [worker for worker in self._busy if worker not in finished]
    return done

  def close(self):
    """Ends all child processes."""
    for worker in self._idle + self._busy:
      worker.stop()
    self._idle, self._busy = [], []


def make(function, workers, patience=PATIENCE):
  """Here for 0 workers, else Workers."""
  return Workers(function, workers, patience) if workers else Here(function)
