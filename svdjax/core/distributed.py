"""Several processes, each with its own devices, as one run: start, meet, speak with one voice."""

import contextlib
import itertools
import os
import pathlib
import secrets
import time

import jax
import numpy as np

from svdjax.core import faults
from svdjax.core.errors import BadInput, report

PATIENCE = 24 * 3600  # seconds
HEARTBEAT = 30  # seconds after which a process that is silent counts as dead, and the run ends

_meetings = itertools.count()


def add_options(parser):
  """Adds to an argparse parser what `initialize` takes."""
  parser.add_argument('--distributed', action='store_true', help='let JAX find the processes')
  parser.add_argument('--coordinator', default='', help='HOST:PORT of process 0')
  parser.add_argument('--processes', type=int, default=0, help='how many there are')
  parser.add_argument('--process', type=int, default=-1, help='which one this is')


def initialize(detect=False, coordinator='', processes=0, process=-1):
  """Joins the processes of a run; must come before anything else of JAX.

  Args:
    detect: let JAX find out from Cloud TPU, GKE, SLURM or Open MPI who takes part.
    coordinator: 'host:port' of process 0, where that is to be told; then also
    processes: how many there are, and
    process: which one this is.

  Raises:
    BadInput: the three are incomplete, or the others cannot be found or reached.
  """
  given = bool(coordinator), processes > 0, process >= 0
  if any(given) and not all(given):
    raise BadInput('--coordinator, --processes and --process belong together: pass all three, or '
                   '--distributed alone on Cloud TPU, GKE or SLURM')
  if all(given) and process >= processes:
    raise BadInput(f'--process {process} is not below --processes {processes}: they count from 0')
  if not detect and not all(given):
    return
  explicit = dict(coordinator_address=coordinator, num_processes=processes, process_id=process,
                  cluster_detection_method='deactivate')
  try:
    jax.distributed.initialize(**(explicit if all(given) else {}),
                               heartbeat_timeout_seconds=HEARTBEAT)
  except (ValueError, RuntimeError) as error:
    raise BadInput(f'the processes of this run did not find each other ({_first_line(error)}): '
                   'check --coordinator, or start them by a script of launch/') from None


def _first_line(error):
  return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def first():
  """Whether this process writes what is written once: logs, configs, samples."""
  return jax.process_index() == 0


def say(text):
  """Prints to stderr, from the first process alone."""
  if first():
    faults.say(text)


def meet(name):
  """Waits until all processes have come to this place, hours if need be.

  To go before sums over processes that some reach much later: of those on CPU, each waits 30 s.
  """
  if jax.process_count() > 1:
    from orbax.checkpoint import multihost
    multihost.sync_global_processes(f'{name} {next(_meetings)}', timeout=PATIENCE,
                                    processes=set(range(jax.process_count())))


def agree(fine):
  """Whether all processes say that all is fine; each waits for the others."""
  if jax.process_count() == 1:
    return fine
  meet('agree')
  from jax.experimental import multihost_utils
  return bool(multihost_utils.process_allgather(np.int32(fine)).all())


def share(folder, seconds=10.):
  """Whether all processes see one folder under this name; waits so long for what the first writes."""
  if jax.process_count() == 1:
    return True
  from jax.experimental import multihost_utils
  token = multihost_utils.broadcast_one_to_all(np.int32(secrets.randbits(31)))
  mark, until = pathlib.Path(folder) / f'.shared-{int(token)}', time.monotonic() + seconds
  if first():
    mark.touch()
  while not mark.exists() and time.monotonic() < until:
    time.sleep(0.1)
  seen = agree(mark.exists())
  if first():
    mark.unlink(missing_ok=True)
  return seen


@contextlib.contextmanager
def together():
  """Ends this process at once if what is done within fails and others take part.

  At its end in order it would wait for them, and they for its part of the next sum.
  """
  try:
    yield
  except Exception as error:
    if jax.process_count() == 1:
      raise
    code = report(error)
    if first():
      time.sleep(1.)  # what ends with it would end the others before they say the same
    os._exit(code)
