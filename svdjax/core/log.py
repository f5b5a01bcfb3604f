"""The log of a run: metrics.jsonl and TensorBoard events, written in the background.

Logging never stops training: what cannot be written is counted, and reported once on stderr.
"""

import contextlib
import math
import os
from pathlib import Path
import queue
import socket
import sys
import threading
import time

import numpy as np

from svdjax.core import events, jsonl

PATIENCE = 1.  # seconds to wait for room in the queue before an entry is dropped


class Log:
  """Writes to `workdir`/metrics.jsonl and an event file beside it, on a thread of its own.

  Values may be jax arrays that are still being computed: the thread waits for them. A workdir that
  has a log is continued; each Log begins an event file of its own.

  Attributes:
    dropped: number of entries that were not written.
  """

  def __init__(self, workdir, capacity=256):
    """Starts the thread; `capacity` bounds the entries waiting to be written."""
    self.dropped = 0
    self._workdir = Path(workdir)
    self._metrics = self._workdir / 'metrics.jsonl'
    name = f'events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}'
    self._events = self._workdir / name
    self._lock, self._reported, self._closed = threading.Lock(), False, False
    self._queue = queue.Queue(capacity)
    self._queue.put(self._open)
    self._thread = threading.Thread(target=self._run, name='log', daemon=True)
    self._thread.start()

  def write_scalars(self, step, scalars):
    """Writes {name: number} as one line of metrics.jsonl and to TensorBoard."""
    self._put(self._write_scalars, step, dict(scalars))

  def write_figures(self, step, figures):
    """Writes {name: number} to TensorBoard alone: what is measured now and then, beside a step."""
    self._put(self._write_event, events.scalars, step, dict(figures))

  def write_images(self, step, images):
    """Writes {name: [h w 3] uint8}."""
    self._put(self._write_event, events.images, step, _copies(images))

  def write_videos(self, step, videos):
    """Writes {name: ([t h w 3] uint8, frames per second)} as animations."""
    videos = {name: (_copy(video), fps) for name, (video, fps) in videos.items()}
    self._put(self._write_event, events.videos, step, videos)

  def write_texts(self, step, texts):
    """Writes {name: Markdown}."""
    self._put(self._write_event, events.texts, step, dict(texts))

  def write_hparams(self, hparams):
    """Writes the settings of the run, {name: bool, number or str}."""
    self._put(self._write_event, events.hparams, 0, dict(hparams))

  def flush(self, timeout=60.):
    """Waits until all entries so far are written; returns whether they were within `timeout`."""
    done = threading.Event()
    return self._enqueue(done.set) and done.wait(timeout)

  def close(self, timeout=60.):
    """Flushes and ends the thread; what is written afterwards is dropped."""
    if not self._closed:
      self._enqueue(None)
      self._closed = True
      self._thread.join(timeout)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _put(self, write, *args):
    wall_time = time.time()
    if not self._enqueue(lambda: write(wall_time, *args)):
      self._drop('the log is closed' if self._closed else 'the disk is too slow')

  def _enqueue(self, entry):
    try:
      if not self._closed:
        self._queue.put(entry, timeout=PATIENCE)
        return True
    except queue.Full:
      pass
    return False

  def _run(self):
    while (entry := self._queue.get()) is not None:
      try:
        entry()
      except Exception as error:  # whatever it is, training goes on
        self._drop(f'{type(error).__name__}: {error}')

  def _drop(self, reason):
    with self._lock:
      self.dropped += 1
      first, self._reported = not self._reported, True
    if first:
      with contextlib.suppress(OSError, ValueError):  # stderr may be on the full disk, or closed
        print(f'warning: the log in {self._workdir} is incomplete ({reason}); '
              'training goes on, further failures are only counted', file=sys.stderr)

  def _open(self):
    with contextlib.suppress(OSError):  # the first entry meets and reports the same fault
      self._workdir.mkdir(parents=True, exist_ok=True)
      _cut_torn_line(self._metrics)

  def _write_scalars(self, wall_time, step, scalars):
    scalars = {name: float(np.asarray(value)) for name, value in scalars.items()}
    finite = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
    row = {'step': int(step), 'wall_time': round(wall_time, 3), **finite}
    if None in finite.values():
      row['nonfinite'] = [name for name, value in finite.items() if value is None]
    jsonl.append(self._metrics, row)
    self._write_event(wall_time, events.scalars, step, scalars)

  def _write_event(self, wall_time, kind, step, values):
    data = events.record(kind(int(step), wall_time, values))
    if not self._events.exists():
      data = events.record(events.header(wall_time)) + data
    jsonl.append_bytes(self._events, data)


class NoLog:
  """The log of processes other than the first: takes all that a Log takes and writes nothing."""

  def write_scalars(self, *_):
    """Does nothing, as all methods."""

  write_images = write_videos = write_texts = write_hparams = write_figures = write_scalars

  def flush(self, timeout=60.):
    """Everything is written: there is nothing."""
    del timeout
    return True

  def close(self):
    """Does nothing."""


def _copy(array):
  return array.copy() if isinstance(array, np.ndarray) else array


def _copies(arrays):
  return {name: _copy(array) for name, array in arrays.items()}


def _cut_torn_line(path, reach=1 << 16):
  """Removes an unfinished last line of up to `reach` bytes, which a killed run may have left."""
  if path.exists():
    with open(path, 'rb+') as file:
      start = max(0, file.seek(0, os.SEEK_END) - reach)
      file.seek(start)
      tail = file.read()
      file.truncate(start + tail.rfind(b'\n') + 1)
