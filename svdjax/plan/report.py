"""A plan in words: the table, whether it fits, and what would."""

import math

GIB = 2 ** 30
RESERVE = 0.95  # of a chip's memory; the rest is the runtime's


def table(config, topology, plan):
  """The lines of a plan."""
  d, steps, clips = config.data, config.train.steps, config.train.batch_size
  chip, seconds = topology.chip, plan.seconds
  useful = plan.flops / max(seconds, 1e-9) / chip.flops
  rows = [
      ('experiment', f'{clips} clips of {d.frames} x {d.height} x {d.width} a step, '
                     f'{config.train.accumulate} pieces, {config.train.dtype}'),
      ('chips', f'{topology.count} ({topology.name})'),
      ('figures', 'compiled for the target' if plan.exact else 'estimated from the trace'),
      ('parameters', gib(plan.parameters)),
      ('average and optimizer', gib(plan.state)),
      ('activations and the rest', gib(plan.temporary)),
      ('total', f'{gib(plan.total)} of {gib(chip.memory)} ({plan.total / chip.memory:.0%})'),
      ('arithmetic', f'{plan.flops / 1e12:.4g} TFLOP a step'),
      ('memory traffic', f'{plan.traffic / 1e9:.4g} GB a step'),
  ]
  rows += [(kind, f'{size / 1e9:.4g} GB sent a step')
           for kind, size in sorted(plan.collectives.items()) if size >= 5e4]
  rows += [
      ('step time', f'{seconds:.3g} s ({plan.compute:.3g} s compute, {plan.exchange:.3g} s '
                    'collectives, overlapped)'),
      ('utilisation', f'{useful:.0%} of {chip.flops / 1e12:.3g} TFLOP/s'),
      ('clips', f'{clips / seconds:.4g} a second'),
      ('stage', f'{steps} steps, {steps * seconds * topology.count / 3600:,.0f} chip-hours'),
  ]
  return [f'{name:26s}{value}' for name, value in rows]


def gib(size):
  """'1.50 GiB'."""
  return f'{size / GIB:.2f} GiB'


def fits(topology, plan):
  """Whether the plan fits in the memory of its chips."""
  return plan.total <= RESERVE * topology.chip.memory


def remedies(config, topology, plan):
  """What would make a plan fit, most telling first; sentences."""
  room, found = RESERVE * topology.chip.memory, []
  clips = config.train.batch_size // config.train.accumulate
  places = topology.count // config.mesh.frame
  state = plan.parameters + plan.state
  if config.mesh.fsdp < places and state > room / 4:
    found.append(f'config.mesh.fsdp={places}: parameters and state then take about '
                 f'{gib(state * config.mesh.fsdp / places)} a chip')
  if 'unet' in config.model and config.model.unet.remat != 'full':
    found.append('config.model.unet.remat=full')
  if clips > places:
    most = clips // places
    need = math.ceil(plan.temporary / max(room - state, plan.temporary / most))
    pieces = next((n for n in range(need, most + 1) if most % n == 0), most)
    found.append(f'config.train.accumulate={config.train.accumulate * pieces}: activations then '
                 f'take about {gib(plan.temporary / pieces)}')
  if config.data.frames > 1:
    options = [n for n in range(2, config.data.frames + 1)
               if config.data.frames % n == 0 and topology.count % n == 0]
    wider = [n for n in options if n > config.mesh.frame]
    if clips <= places and wider:
      found.append(f'config.mesh.frame={wider[0]} with {wider[0] // config.mesh.frame} times the '
                   'chips: each clip is shared by more of them')
  if clips <= places and not found:
    found.append('more chips of this kind with a larger config.mesh.fsdp, or chips with more memory')
  return found
