"""The training loop: restore, evaluate, save, step, log."""

import contextlib
import json
import math
import pathlib
import subprocess
import sys
import time
from importlib import metadata
from typing import NamedTuple

import jax

from svdjax import checkpoint, handoff, preview, state as state_lib
from svdjax.convert import lora
from svdjax.core.errors import BadInput
from svdjax.core.log import Log
from svdjax.core.overview import parameter_overview
from svdjax.core.params import select
from svdjax.core.progress import Progress
from svdjax.inputs import pipeline
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import parts as parts_lib
from svdjax.validate import check_config, check_memory

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'numpy', 'av')


def environment():
  """What the run depends on beside its config: versions, devices, git revision."""
  git = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False,
                       cwd=pathlib.Path(__file__).parent)
  versions = {}
  for name in PACKAGES:
    versions[name] = metadata.version(name)
  return {'git': git.stdout.strip() or None, 'python': sys.version.split()[0],
          'devices': [str(d) for d in jax.devices()], 'packages': versions}


def tokenizer_for(config, workdir):
  """The tokenizer of a stage with a text tower: from its workdir, earlier stages or the data.

  Raises:
    BadInput: a denoising stage whose init_from brings no tokenizer.
  """
  if 'clip_text' not in config.model:
    return None
  for source in handoff.sources(config.init_from):
    checkpoint.copy_assets(source, workdir)
  assets = pathlib.Path(workdir) / 'assets'
  if not (assets / 'vocab.json').is_file():
    if config.task != 'contrastive':
      raise BadInput(f'init_from {config.init_from} brings no tokenizer (assets/vocab.json): name the '
                     'workdir of the CLIP stage too')
    Tokenizer.train(pipeline.captions(config.data), config.model.clip_text.vocab,
                    config.model.clip_text.context).save(assets)
  return Tokenizer.load(assets)


def initial_state(config, parts, workdir):
  """A fresh or handed-over state and the frozen parameters, which are stored in the workdir.

  Returns:
    (State, frozen {name: array}).
  """
  start = handoff.start(config, parts)
  print(start.report, file=sys.stderr)
  trained, frozen = select(start.params, tuple(config.train.trainable))
  if frozen:
    checkpoint.save_params(pathlib.Path(workdir) / 'frozen', frozen)
  return jax.jit(lambda p: state_lib.create(config, p))(trained), frozen


def restored_state(config, parts, workdir, saved):
  """The latest saved state, its frozen parameters and where the data was.

  Returns:
    (State, frozen {name: array}, data position).
  """
  frozen = {}
  if (pathlib.Path(workdir) / 'frozen').is_dir():
    frozen = checkpoint.load_params(pathlib.Path(workdir) / 'frozen')
  trained, _ = select(parts.shapes, tuple(config.train.trainable))
  like = jax.eval_shape(lambda p: state_lib.create(config, p), trained)
  state, data = saved.restore(like)
  return state, frozen, data


def fetch(metrics):
  """Metrics of a finished step as Python floats, the mean loss of each noise bin that was hit."""
  metrics = jax.device_get(metrics)
  bins = metrics.pop('loss_by_sigma', {})
  row = {name: float(x) for name, x in metrics.items()}
  return row | {f'loss_{n}': float(s / c) for n, (s, c) in bins.items() if c}


class Run(NamedTuple):
  """A stage that is ready to train."""
  parts: parts_lib.Parts
  tokenizer: Tokenizer | None
  clips: pipeline.Clips
  saved: checkpoint.Checkpoints
  state: state_lib.State
  frozen: dict
  data: dict  # where the data was


def prepare(config, workdir):
  """Checks everything that can be wrong, then restores the workdir or starts it afresh.

  Sets config.model.vae.scale where it is to be measured, and the sizes of networks that are taken
  over as they are.
  """
  check_config(config)
  handoff.require_sources(config, workdir)
  checkpoint.make_workdir(workdir)
  handoff.adopt(config, workdir)
  parts = parts_lib.build(config.model)
  tokenizer = tokenizer_for(config, workdir)
  clips = pipeline.Clips(config.data, 'train', config.seed, tokenizer)
  clips.clip(0, 0)
  if preview.wanted(config):
    preview.held_out(config, tokenizer)
  if config.task == 'denoising' and not config.model.vae.scale:
    batch = pipeline.eval_batch(clips, 64)
    config.model.vae.scale = handoff.latent_scale(config, parts, workdir, batch)
    parts = parts_lib.build(config.model)
  checkpoint.write_config(workdir, config)
  (workdir / 'environment.json').write_text(json.dumps(environment(), indent=2))
  saved = checkpoint.Checkpoints(workdir, config.checkpoint.keep)
  if saved.latest_step() is None:
    state, frozen = initial_state(config, parts, workdir)
    data = {'next_index': 0}
  else:
    state, frozen, data = restored_state(config, parts, workdir, saved)
    print(f'resuming {workdir} at step {int(state.step)}', file=sys.stderr)
  # Committed to a device from the start: a step that changed this would be compiled twice.
  state, frozen = jax.device_put((state, frozen), jax.local_devices()[0])
  return Run(parts, tokenizer, clips, saved, state, frozen, data)


def train(config, workdir):
  """Trains one stage in `workdir`, or goes on where an earlier run of it ended.

  Args:
    config: a resolved experiment.
    workdir: folder for config, checkpoints, logs and sample videos.

  Returns:
    The last logged metrics.

  Raises:
    BadInput: before any long work, if something about config, data or workdir is wrong.
  """
  workdir = pathlib.Path(workdir)
  run = prepare(config, workdir)
  start = int(run.state.step)
  if start >= config.train.steps:
    print(f'{workdir} has finished its {config.train.steps} steps', file=sys.stderr)
    return {}
  print(parameter_overview(run.state.params | run.frozen, set(run.state.params)), file=sys.stderr)
  step_fn = jax.jit(state_lib.make_step(config, run.parts), donate_argnums=0)
  check_memory(config, step_fn, run.state, run.frozen)
  with contextlib.closing(Log(workdir)) as log, Progress(
      config.train.steps, start, workdir.name) as bar:
    row = _loop(config, run, step_fn, log, bar)
  run.saved.close()
  if 'lora' in config.model:
    lora.export(workdir)
  if skipped := run.clips.skipped:
    print(f'{len(skipped)} records gave no clip and were passed over: '
          f'{"; ".join(list(skipped.values())[:3])}', file=sys.stderr)
  return row


def _loop(config, run, step_fn, log, bar):
  """Save and evaluate before stepping, so that a step number always names one state."""
  state, last, row, since = run.state, config.train.steps, {}, time.monotonic()
  start = int(state.step)
  batches = pipeline.batches(run.clips, config.train.batch_size, run.data['next_index'],
                             config.data.threads)
  for step in range(start, last + 1):
    due = lambda every: step == last or every and step % every == 0 and step > start
    if due(config.checkpoint.every):
      run.saved.save(state, {'next_index': step})
    if due(config.sample.every):
      preview.write(config, run.parts, run.frozen | state.ema, log, step, run.saved.workdir,
                    run.tokenizer)
    if step == last:
      return row
    numbers = state_lib.numbers_at(config, step)
    state, metrics = step_fn(state, run.frozen, next(batches), numbers)
    if (step + 1) % config.train.log_every == 0 or step in (start, last - 1):
      row = fetch(metrics)
      if not math.isfinite(row['loss']):
        raise RuntimeError(f'loss is {row["loss"]} at step {step + 1}: lower config.optim.lr')
      seconds, since = time.monotonic() - since, time.monotonic()
      log.write_scalars(step + 1, row | {'seconds': seconds})
    bar.update(step + 1, {'loss': row['loss']})
