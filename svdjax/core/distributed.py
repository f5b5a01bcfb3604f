"""Several processes, each with its own devices, as one run: start, meet, speak with one voice."""

import jax

from svdjax.core import faults
from svdjax.core.errors import BadInput


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
  explicit = dict(coordinator_address=coordinator, num_processes=processes, process_id=process)
  try:
    jax.distributed.initialize(**(explicit if all(given) else {}))
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
  """Waits until all processes have come to the place of this name."""
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils
    multihost_utils.sync_global_devices(name)


def agree(fine):
  """Whether the first process says that all is fine; the others wait for it."""
  if jax.process_count() == 1:
    return fine
  from jax.experimental import multihost_utils
  return bool(multihost_utils.broadcast_one_to_all(jax.numpy.int32(fine)))
