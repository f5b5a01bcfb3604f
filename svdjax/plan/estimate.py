"""The quick plan: from a trace of the step at full size, without compiling anything."""

import collections
import math
from typing import NamedTuple

import jax
import numpy as np

from svdjax import state as state_lib
from svdjax.core import mesh as mesh_lib, share
from svdjax.core.errors import BadInput
from svdjax.core.memory import nbytes
from svdjax.plan import cost
from svdjax.tasks import parts as parts_lib
from svdjax.validate import abstract_batch, check_mesh, check_split, largest_size

# What of a chip's stated speed well-written programs reach (ours, to be replaced by measurements).
COMPUTE, BANDWIDTH, LINKS = 0.7, 0.8, 0.7


class Rounds(NamedTuple):
  """How much more of a step there is than with the body of each loop counted once."""
  flops: float = 1.
  traffic: float = 1.


class Plan(NamedTuple):
  """Of one chip, in bytes, operations and seconds a step.

  Attributes:
    parameters: trained and frozen, its share.
    state: moving average and optimizer, its share.
    temporary: all else at the peak: the batch, activations, gradients, gathered weights.
    flops, traffic: operations; bytes read and written.
    collectives: {kind: bytes sent}.
    compute, exchange: seconds of arithmetic and memory traffic; of collectives alone.
    exact: whether parameters to collectives come from a compiled program.
    rounds: Rounds.
  """
  parameters: float
  state: float
  temporary: float
  flops: float
  traffic: float
  collectives: dict
  compute: float
  exchange: float
  exact: bool = False
  rounds: Rounds = Rounds()

  @property
  def total(self):
    """Bytes at the peak."""
    return self.parameters + self.state + self.temporary

  @property
  def seconds(self):
    """Of a step, if gathers and scatters of weights are hidden behind arithmetic where they can."""
    return max(self.compute, self.exchange)


def sizes_of(config, chips):
  """{axis: size} of config.mesh on `chips` chips.

  Raises:
    BadInput: they do not fit, or clips, frames or latents cannot be spread over them.
  """
  fixed = config.mesh.fsdp * config.mesh.frame
  if chips % fixed or config.mesh.data and config.mesh.data * fixed != chips:
    raise BadInput(f'config.mesh of data={config.mesh.data} x fsdp={config.mesh.fsdp} x '
                   f'frame={config.mesh.frame} does not make {chips} chips: change one of them')
  sizes = {'data': chips // fixed, 'fsdp': config.mesh.fsdp, 'frame': config.mesh.frame}
  check_mesh(config, share.abstract(sizes))
  check_split(config, largest_size(config.data))
  return sizes


def arguments(config, parts, mesh):
  """What a step on a mesh is called with, as ShapeDtypeStructs: state, frozen parameters, a batch.

  With config.data.latents (any name) the batch is of latents, and frozen networks stay outside.
  """
  state, frozen = state_lib.shapes(config, parts, mesh)
  if not config.data.latents:
    return state, frozen, abstract_batch(config)
  b, t, unet, vae = config.train.batch_size, config.data.frames, config.model.unet, config.model.vae
  unit, shape = 2 ** (len(vae.channels) - 1), jax.ShapeDtypeStruct
  h, w, z = config.data.height // unit, config.data.width // unit, vae.latent_channels
  tokens = config.model.clip_text.context if config.conditioning.context == 'text' else 1
  batch = {'moments': shape((b, t, h, w, 2 * z), np.float16), 'fps': shape((b,), np.float32),
           'motion': shape((b,), np.float32),
           'context': shape((b, tokens, unet.context_dim), np.float16)}
  if config.conditioning.concat:
    batch |= {'condition': shape((b, h, w, z), np.float16), 'cond_aug': shape((b,), np.float32)}
  return state, {}, batch


def trace(config, sizes):
  """The jaxpr of a training step on a mesh of these sizes, its State and frozen parameters."""
  parts = parts_lib.build(config.model)
  shapes = arguments(config, parts, share.abstract(sizes))
  step, numbers = state_lib.make_step(config, parts), state_lib.numbers_at(config, 0)
  return share.trace(step, sizes, *shapes, numbers), shapes[:2]


def estimate(config, topology):
  """The Plan of a training step of an experiment on a topology, from its trace.

  Raises:
    BadInput: the batch or mesh does not fit the number of chips.
  """
  sizes = sizes_of(config, topology.count)
  jaxpr, (state, frozen) = trace(config, sizes)
  fsdp, all_params = sizes['fsdp'], (state.params, frozen)
  weights = cost.Weights(share.splits(all_params, fsdp), sizes)
  counted, once = (cost.count(jaxpr, weights, topology.chip.lanes, loops)
                   for loops in (True, False))
  rounds = Rounds(counted.flops / once.flops, counted.traffic / once.traffic)
  peak = share.step_peak(jaxpr, state, frozen, sizes, topology.kind, topology.chip.memory)
  params = share.of_params(all_params, fsdp)
  ema = share.of_params((state.ema, state.opt), fsdp)
  moved = counted.collectives + gradients(state.params, sizes)
  return timed(Plan(params, ema, peak - params - ema, counted.flops / topology.count,
                    0., dict(moved), 0., 0., rounds=rounds), counted, topology)


def gradients(params, sizes):
  """{'all-reduce': bytes a chip sends} for gradients of what every chip has whole."""
  chips = math.prod(sizes.values())
  whole = sum(nbytes(x) for x in params.values() if not mesh_lib.spec(x.shape, sizes['fsdp']))
  return collections.Counter({'all-reduce': 2 * whole * (chips - 1) / chips})


def timed(plan, counted, topology):
  """The Plan with traffic and times: each product takes the longer of arithmetic and memory."""
  chip, chips = topology.chip, topology.count
  rate, memory = chip.flops * COMPUTE, chip.bandwidth * BANDWIDTH
  products = sum(n * max(flops / rate, traffic / memory)
                 for (flops, traffic), n in counted.products.items())
  seconds = (products + counted.bytes / memory) / chips
  sent = sum(plan.collectives.values()) / (chip.links * LINKS)
  return plan._replace(traffic=counted.traffic / chips, compute=seconds, exchange=sent)
