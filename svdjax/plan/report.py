"""A plan in words: the table, whether it fits, and what would."""

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
  """What would make a plan fit, as sentences; together they do, if the last one says no more."""
  room, found = RESERVE * topology.chip.memory, []
  places = topology.count // config.mesh.frame
  state, activations = plan.parameters + plan.state, plan.temporary
  if config.mesh.fsdp < places and state > room / 4:
    state *= config.mesh.fsdp / places
    found.append(f'config.mesh.fsdp={places}: parameters and state then take about {gib(state)}')
  if 'unet' in config.model and config.model.unet.remat != 'full':
    found.append('config.model.unet.remat=full: activations are computed again backwards')
  pieces = config.train.batch_size // config.train.accumulate // places
  if pieces > 1:
    need = activations / max(room - state, 1)
    n = next((n for n in range(2, pieces + 1) if pieces % n == 0 and n >= need), pieces)
    activations /= n
    found.append(f'config.train.accumulate={config.train.accumulate * n}: activations then take '
                 f'about {gib(activations)}')
  if config.task == 'denoising' and not config.data.latents:
    found.append('config.data.latents: latents computed once leave the autoencoder outside')
  shares = [n for n in range(config.mesh.frame + 1, config.data.frames + 1)
            if config.data.frames % n == 0 and topology.count % (config.mesh.fsdp * n) == 0]
  if state + activations > room and shares:
    need = config.mesh.frame * activations / max(room - state, 1)
    parts = next((n for n in shares if n >= need), shares[-1])
    found.append(f'config.mesh.frame={parts}: that many chips share a clip')
  elif state + activations > room:
    found.append('more chips with a larger config.mesh.fsdp, or chips with more memory')
  return found
