"""A sign of life from long work to whoever watches it in another process."""

import time

_shared = None  # multiprocessing.Value('d') of the worker process


def watch(shared):
  """From now on `beat` tells its time through `shared`, a multiprocessing.Value of a double."""
  global _shared
  _shared = shared


def beat(ahead=0.0):
  """Says that work goes on, and will for `ahead` seconds without another word."""
  if _shared is not None:
    _shared.value = time.monotonic() + ahead
