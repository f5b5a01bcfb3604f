"""The exact plan: the whole step compiled for the real target, the result kept in a cache.

The TPU compiler needs no TPU (`pip install libtpu`); programs for CPUs are compiled by this
machine's XLA on virtual devices. Set up by `prepare` before JAX starts.
"""

import collections
import hashlib
import importlib.util
import json
import math
import os
import pathlib
import re

import jax
from jax.experimental import topologies
import numpy as np

from svdjax import state as state_lib
from svdjax.core import mesh as mesh_lib
from svdjax.core.errors import BadInput
from svdjax.plan import estimate
from svdjax.tasks import parts as parts_lib

CACHE = pathlib.Path('~/.cache/svdjax/plan').expanduser()
KINDS = ('all-gather', 'reduce-scatter', 'all-reduce', 'all-to-all', 'collective-permute')
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8,
         'u64': 8, 'f64': 8}
SOURCE = pathlib.Path(__file__).parents[1]


def prepare(topology):
  """Sets what must be set before JAX starts, so that the target can be compiled for.

  Raises:
    BadInput: there is no compiler for it on this machine.
  """
  if topology.kind == 'gpu':
    raise BadInput(f'--exact cannot compile for {topology.name} without such a GPU: leave it out '
                   'for the quick estimate')
  os.environ['JAX_PLATFORMS'] = 'cpu'
  if topology.kind == 'cpu':
    flags = os.environ.get('XLA_FLAGS', '')
    os.environ['XLA_FLAGS'] = (
        f'{flags} --xla_force_host_platform_device_count={topology.count}'.strip())
  elif importlib.util.find_spec('libtpu') is None:
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
    if 'plan' not in path.parts:
      digest.update(path.read_bytes())
  digest.update(jax.__version__.encode())
  return digest.hexdigest()[:24]


def measured(config, topology):
  """{'argument', 'temporary', 'flops', 'bytes', 'collectives'} of the compiled step of one chip.

  Compiles for minutes to an hour, or reads what an earlier call has kept in CACHE.
  """
  kept = CACHE / f'{key(config, topology)}.json'
  if kept.is_file():
    return json.loads(kept.read_text())
  program = compiled(config, topology)
  memory, costs = program.memory_analysis(), program.cost_analysis()
  costs = costs[0] if isinstance(costs, list) else costs
  found = {'argument': memory.argument_size_in_bytes, 'temporary': memory.temp_size_in_bytes,
           'flops': costs.get('flops', 0.), 'bytes': costs.get('bytes accessed', 0.),
           'collectives': collectives(program.as_text())}
  CACHE.mkdir(parents=True, exist_ok=True)
  kept.write_text(json.dumps(found, indent=2))
  return found


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


def collectives(text):
  """{kind: bytes that a chip sends} from the text of a compiled program.

  Those inside loops are counted once: SVD's are in straight code.
  """
  sent = collections.Counter()
  for line in text.splitlines():
    found = re.search(rf'= (.*?) ({"|".join(KINDS)})(-start)?\(', line)
    if not found:
      continue
    shapes = re.findall(r'(\w+)\[([\d,]*)\]', found[1])
    sizes = [BYTES.get(t, 4) * int(np.prod([int(n) for n in dims.split(',') if n], initial=1))
             for t, dims in shapes]
    size = max(sizes) if found[3] else sum(sizes)
    n = group(line)
    factor = {'all-reduce': 2 * (n - 1) / n, 'reduce-scatter': n - 1, 'collective-permute': 1}
    sent[found[2]] += size * factor.get(found[2], (n - 1) / n)
  return dict(sent)


def group(line):
  """How many chips take part in each group of a collective."""
  if found := re.search(r'replica_groups=\{\{([\d,]+)\}', line):
    return len(found[1].split(','))
  if found := re.search(r'replica_groups=\[(\d+),(\d+)\]', line):
    return int(found[2])
  if found := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
    named = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", found[2])  # a part of an axis has its own size
    return math.prod(int(part or sizes[axis]) for axis, part in named)
  raise ValueError(f'no replica groups in {line.strip()[:200]}')


def exact(config, topology):
  """The Plan of a training step compiled for a topology, and its quick estimate's times.

  Args, raises: as of `estimate.estimate`.
  """
  quick, found = estimate.estimate(config, topology), measured(config, topology)
  chip = topology.chip
  state = quick.parameters + quick.state
  memory = found['bytes'] / (chip.bandwidth * estimate.BANDWIDTH)
  return quick._replace(
      temporary=found['argument'] - state + found['temporary'], flops=found['flops'],
      traffic=found['bytes'], collectives=found['collectives'],
      compute=max(quick.compute, memory),
      exchange=sum(found['collectives'].values()) / (chip.links * estimate.LINKS), exact=True)
