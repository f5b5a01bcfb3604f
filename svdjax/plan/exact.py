"""The exact plan: the whole step compiled for the real target, the result kept in a cache.

The TPU compiler needs no TPU (`pip install libtpu`); programs for CPUs are compiled by this
machine's XLA on virtual devices. Set up by `prepare` before JAX starts.
"""

import contextlib
import hashlib
from importlib import metadata, util
import json
import os
import pathlib
import threading
import time

import jax
from jax.experimental import topologies
import numpy as np

from svdjax import state as state_lib
from svdjax.core import mesh as mesh_lib
from svdjax.core.errors import BadInput
from svdjax.core.faults import say
from svdjax.plan import estimate, program
from svdjax.tasks import parts as parts_lib

CACHE = pathlib.Path('~/.cache/svdjax/plan').expanduser()
FIGURES = ('argument', 'temporary', 'flops', 'bytes', 'collectives')
SOURCE = pathlib.Path(__file__).parents[1]
APART = [SOURCE / 'plan' / name for name in ('__main__.py', 'report.py', 'cost.py', 'topology.py')]


def prepare(topology):
  """Sets what must be set before JAX starts, so that the target can be compiled for.

  Raises:
    BadInput: there is no compiler for it on this machine.
  """
  if topology.kind == 'gpu':
    raise BadInput(f'--exact cannot compile for {topology.name} without such a GPU: leave it out '
                   'for the quick estimate')
  jax.config.update('jax_platforms', 'cpu')
  if topology.kind == 'cpu':
    flags = os.environ.get('XLA_FLAGS', '')
    os.environ['XLA_FLAGS'] = (
        f'{flags} --xla_force_host_platform_device_count={topology.count}'.strip())
  elif util.find_spec('libtpu') is None:
    raise BadInput('--exact for TPU needs the TPU compiler: pip install libtpu (no TPU is needed), '
                   'or leave it out for the quick estimate')
  else:
    os.environ |= {'TPU_SKIP_MDS_QUERY': '1', 'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
                   'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0',
                   'ALLOW_MULTIPLE_LIBTPU_LOAD': '1'}


def key(config, topology):
  """Names a compilation by all that it depends on: config, target, versions and the code."""
  digest = hashlib.sha256(f'{config.to_json_best_effort(sort_keys=True)}{topology.name}'.encode())
  for path in sorted(SOURCE.rglob('*.py')):
    if path not in APART:
      digest.update(path.read_bytes())
  for package in ('jaxlib', 'libtpu'):
    with contextlib.suppress(metadata.PackageNotFoundError):
      digest.update(f'{package} {metadata.version(package)}'.encode())
  return digest.hexdigest()[:24]


def measured(config, topology):
  """The FIGURES of the compiled step of one chip, by name; loops count once in FLOPs and bytes.

  Compiles for minutes to an hour, or reads what an earlier call has kept in CACHE.
  """
  kept = CACHE / f'{key(config, topology)}.json'
  with contextlib.suppress(OSError, ValueError):  # not there, or torn
    found = json.loads(kept.read_text())
    if set(found) == set(FIGURES):
      return found
  with _waiting(f'compiling the step for {topology.name}'):
    step = compiled(config, topology)
  memory, costs = step.memory_analysis(), step.cost_analysis()
  costs = costs[0] if isinstance(costs, list) else costs
  found = {'argument': memory.argument_size_in_bytes, 'temporary': memory.temp_size_in_bytes,
           'flops': costs.get('flops', 0.), 'bytes': costs.get('bytes accessed', 0.),
           'collectives': program.collectives(step.as_text())}
  try:
    CACHE.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_suffix(f'.{os.getpid()}')
    temporary.write_text(json.dumps(found, indent=2))
    temporary.replace(kept)
  except OSError as error:
    say(f'warning: the result cannot be kept in {CACHE} ({error.strerror}): the next plan will '
        'compile again')
  return found


@contextlib.contextmanager
def _waiting(what, seconds=30.):
  """Says every so many seconds how long something has taken: the compiler tells no more."""
  done, began = threading.Event(), time.monotonic()

  def tell():
    while not done.wait(seconds):
      say(f'{what}: {(time.monotonic() - began) / 60:.1f} min so far')

  say(f'{what}: minutes to an hour')
  thread = threading.Thread(target=tell, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join()


def compiled(config, topology):
  """The training step compiled for a topology, jax.stages.Compiled."""
  sizes = estimate.sizes_of(config, topology.count)
  devices = jax.devices()
  if topology.kind == 'tpu':
    devices = topologies.get_topology_desc(platform='tpu', topology_name=topology.name).devices
  mesh = mesh_lib.make(sizes, devices)
  parts = parts_lib.build(config.model)
  state, frozen, batch = estimate.arguments(config, parts, mesh)
  batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=mesh_lib.of_clips(mesh)), batch)
  numbers = jax.tree.map(lambda x: jax.ShapeDtypeStruct(
      np.shape(x), np.float32, sharding=mesh_lib.replicated(mesh)), state_lib.numbers_at(config, 0))
  with jax.set_mesh(mesh):
    step = state_lib.compiled(config, parts, mesh)
    return step.lower(state, frozen, batch, numbers).compile()


def exact(config, topology):
  """The Plan of a training step compiled for a topology, and its quick estimate's times.

  XLA counts the body of a loop once (pieces of a batch, chunks of attention, frames of the
  encoder); the rounds after the first come from the trace.

  Args, raises: as of `estimate.estimate`.
  """
  quick, found = estimate.estimate(config, topology), measured(config, topology)
  chip, collectives = topology.chip, found['collectives']
  traffic = found['bytes'] * quick.rounds.traffic
  return quick._replace(
      temporary=found['argument'] - quick.parameters - quick.state + found['temporary'],
      flops=found['flops'] * quick.rounds.flops, traffic=traffic, collectives=collectives,
      compute=max(quick.compute, traffic / (chip.bandwidth * estimate.BANDWIDTH)),
      exchange=sum(collectives.values()) / (chip.links * estimate.LINKS), exact=True)
