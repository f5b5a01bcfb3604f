"""Being asked to end: SIGTERM, which clusters send some seconds before they take a machine."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


class Stop:
  """Notices SIGTERM while it is entered; work then ends at a step that all processes agree on.

  With jax.distributed, JAX's own service is asked, which passes on the signal to one process. In
  a thread that cannot have signal handlers, nothing is noticed.
  """

  def __init__(self):
    self._asked, self._before = False, None

  def __enter__(self):
    if (not jax.distributed.is_initialized()
        and threading.current_thread() is threading.main_thread()):
      self._before = signal.signal(signal.SIGTERM, self._notice)
    return self

  def __exit__(self, *_):
    if self._before is not None:
      signal.signal(signal.SIGTERM, self._before)

  def _notice(self, *_):
    self._asked = True

  def requested(self, step):
    """Whether to save and end before this step; every process asks at every step."""
    if jax.distributed.is_initialized():
      return multihost_utils.reached_preemption_sync_point(step)
    return self._asked
