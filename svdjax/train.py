"""The training loop: restore, evaluate, save, step, log."""

import contextlib
import pathlib

import jax

from svdjax import preview, state as state_lib
from svdjax.convert import lora
from svdjax.core import distributed, json_dict, mesh as mesh_lib
from svdjax.core.distributed import say
from svdjax.core.errors import BadInput
from svdjax.core.ledger import Ledger
from svdjax.core.log import Log, NoLog
from svdjax.core.memory import program_bytes, used_bytes
from svdjax.core.overview import parameter_overview
from svdjax.core.progress import Progress
from svdjax.core.skips import Skips
from svdjax.core.stop import Stop
from svdjax.inputs import pipeline
from svdjax.prepare import prepare


def fetch(metrics):
  """Metrics of a finished step as Python floats, the mean loss of each noise bin that was hit."""
  metrics = jax.device_get({n: x for n, x in metrics.items() if n != 'skipped'})
  bins = metrics.pop('loss_by_sigma', {})
  row = {name: float(x) for name, x in metrics.items()}
  return row | {f'loss_{n}': float(s / c) for n, (s, c) in bins.items() if c}


def train(config, workdir, began=None):
  """Trains one stage in `workdir`, or goes on where an earlier run (or SIGTERM) ended it.

  Args:
    config: a resolved experiment.
    workdir: folder for config, checkpoints, logs and sample videos.
    began: when this run began, for its ledger, seconds since the epoch; now by default.

  Returns:
    The last logged metrics.

  Raises:
    BadInput: before any long work, if something about config, data or workdir is wrong.
    Stopped: it cannot go on: nothing can be saved, or steps are not finite.
  """
  workdir = pathlib.Path(workdir)
  with Stop() as stop, contextlib.closing(
      Ledger(workdir, began, distributed.first()).watch()) as ledger:
    run = prepare(config, workdir, ledger)
    start = int(run.state.step)
    if start >= config.train.steps:
      say(f'{workdir} has finished its {config.train.steps} steps')
      return {}
    say(parameter_overview(run.state.params | run.frozen, set(run.state.params)))
    step_fn = state_lib.compiled(config, run.parts, run.mesh)
    log = Log(workdir) if distributed.first() else NoLog()
    log.write_hparams(json_dict.flat(config.to_dict()))
    with contextlib.closing(log), Progress(
        config.train.steps, start, workdir.name) as bar, jax.set_mesh(run.mesh):
      row = _loop(config, run, step_fn, log, bar, stop, ledger)
    run.saved.close()
    if 'lora' in config.model and distributed.first():
      lora.export(workdir)
  if skipped := run.clips.skipped:
    say(f'{len(skipped)} records gave no clip and were passed over: '
        f'{"; ".join(list(skipped.values())[:3])}')
  return row


def _loop(config, run, step_fn, log, bar, stop, ledger):
  """Save and evaluate before stepping, so that a step number always names one state."""
  state, last, clips, row = run.state, config.train.steps, config.train.batch_size, {}
  start, compiled, told = int(state.step), {}, set()
  skips = Skips(run.saved.faults, run.data.get('skipped_steps', 0))
  batches = pipeline.batches(run.clips, clips, run.data['next_index'],
                             config.data.threads, own := mesh_lib.rows(run.mesh, clips))

  def save(needed):
    ledger.to('save')
    skips.settle()
    _tell_damaged(run, told)
    run.saved.save(state, {'next_index': step, 'skipped_steps': skips.total}, needed)
    ledger.mark(step)

  ledger.begin(start)
  ledger.lap()
  for step in range(start, last + 1):
    due = lambda every: step == last or every and step % every == 0 and step > start
    ending = step < last and stop.requested(step)
    if due(config.checkpoint.every) or ending and step > start:
      save(needed=ending or step == last)
    if ending:
      say(f'SIGTERM: {run.saved.workdir} ends at step {step}; the same command goes on from there')
      return row
    if due(config.sample.every):
      ledger.to('preview')
      _preview(config, run, state, log, step)
    if step == last:
      return row
    ledger.to('data')
    try:
      batch = mesh_lib.global_batch(run.mesh, next(batches), clips, own)
    except BadInput:  # too many damaged records
      _tell_damaged(run, told)
      if jax.process_count() == 1:  # one of several cannot save without the others
        save(needed=True)
      raise
    shapes = tuple(x.shape for x in jax.tree.leaves(batch))
    ledger.to('step' if shapes in compiled else 'compile')
    given = state, run.frozen, batch, state_lib.numbers_at(config, step)
    if shapes not in compiled:
      compiled[shapes] = program_bytes(step_fn.lower(*given).compile())
      distributed.meet('compiled')
    state, metrics = step_fn(*given)
    ledger.to('step')
    skips.see(step, metrics['skipped'])
    if (step + 1) % config.train.log_every == 0 or step in (start, last - 1):
      row = fetch(metrics)
      skips.settle()
      log.write_scalars(step + 1, row | {
          'skipped_steps': skips.total, 'memory_gib': used_bytes() / 2**30,
          'step_gib': compiled[shapes] / 2**30} | _pace(ledger))
    if distributed.first():
      bar.update(step + 1, {'loss': row['loss']})
    ledger.tick(step + 1)


def _tell_damaged(run, told):
  """Reports the damaged records that are not in `told` yet."""
  for record in sorted(run.clips.damaged - told):
    run.saved.faults.report('record', f'passed over: {run.clips.skipped[record]}', own=True,
                            record=record)
    told.add(record)


def _pace(ledger):
  """Seconds since the last row, and the share of them that waited for data."""
  lap = ledger.lap()
  return {'seconds': lap.total(), 'data_wait': lap['data'] / max(lap.total(), 1e-9)}


def _preview(config, run, state, log, step):
  try:
    preview.write(config, run.parts, run.frozen | state.ema, log, step, run.saved.workdir,
                  run.tokenizer)
  except OSError as error:
    run.saved.faults.report('preview', f'samples of step {step} could not be written ({error})',
                            step=step)
