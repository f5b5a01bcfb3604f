"""From a config to a stage that is ready to train: checks, networks, data, state."""

import json
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from svdjax import checkpoint, fits, handoff, preview, saving, state as state_lib
from svdjax.core import distributed, mesh as mesh_lib, places
from svdjax.core.distributed import say
from svdjax.core.environment import environment
from svdjax.core.errors import BadInput
from svdjax.core.params import select
from svdjax.inputs import encoded, pipeline
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import parts as parts_lib
from svdjax.validate import check_config, check_memory, check_mesh, check_pixels, largest_size


def tokenizer_for(config, workdir):
  """The tokenizer of a stage with a text tower: of its own run, an earlier stage, or the data.

  Of several earlier stages the first that has one, which its parameters come from too.

  Raises:
    BadInput: a denoising stage whose init_from brings no tokenizer.
  """
  if 'clip_text' not in config.model:
    return None
  own = [workdir] if checkpoint.saved_steps(workdir) else []
  for path in (*own, *handoff.sources(config.init_from)):
    if (pathlib.Path(path) / 'assets' / 'vocab.json').is_file():
      return Tokenizer.load(pathlib.Path(path) / 'assets')
  if config.task != 'contrastive':
    raise BadInput(f'init_from {config.init_from} brings no tokenizer (assets/vocab.json): name '
                   'the workdir of the CLIP stage too')
  return Tokenizer.train(pipeline.captions(config.data), config.model.clip_text.vocab,
                         config.model.clip_text.context)


def initial_state(config, parts, workdir, mesh):
  """A fresh or handed-over state and the frozen parameters, which are stored in the workdir.

  Returns:
    (State, frozen {name: array}).
  """
  start = handoff.start(config, parts)
  say(start.report)
  trained, frozen = select(start.params, tuple(config.train.trainable))
  if frozen:
    checkpoint.save_params(pathlib.Path(workdir) / 'frozen', jax.tree.map(np.asarray, frozen))
  where = mesh_lib.shardings(mesh, state_lib.shapes(config, parts, mesh)[0])
  # Array by array: one program that makes them all takes seconds to compile. Copies, since a step
  # takes over the memory of its state.
  trained = jax.tree.map(jnp.copy, mesh_lib.place(trained, where.params))
  state = state_lib.create(config, trained)
  return mesh_lib.place(state, where), frozen


def restored_state(config, parts, workdir, saved, mesh):
  """The latest saved state, its frozen parameters and where the data was.

  Returns:
    (State, frozen {name: array}, data position).
  """
  frozen = checkpoint.load_frozen(workdir)
  state, data = saved.restore(state_lib.shapes(config, parts, mesh)[0])
  return state, frozen, data


class Run(NamedTuple):
  """A stage that is ready to train."""
  parts: parts_lib.Parts
  tokenizer: Tokenizer | None
  clips: pipeline.Clips
  saved: saving.Checkpoints
  state: state_lib.State
  frozen: dict
  data: dict  # where the data was, and how many steps were skipped
  mesh: jax.sharding.Mesh


def check_workdir(workdir):
  """Raises BadInput if the folder cannot be written, and leaves none behind."""
  if jax.process_count() == 1:  # of several, another one may be making it
    with places.unmade(workdir):
      checkpoint.make_workdir(workdir)


def checked(config, workdir):
  """(mesh, networks, tokenizer, clips) of a stage after all checks; nothing is written or compiled.

  Sets the sizes of networks that are taken over as they are.

  Raises:
    BadInput: config, data, workdir or init_from cannot work, or memory will not do.
  """
  check_config(config)
  mesh = mesh_lib.make(config.mesh)
  check_mesh(config, mesh)
  check_pixels(1, largest_size(config.data), 'lower config.data.frames, height or width')
  handoff.require_sources(config, workdir)
  check_workdir(workdir)
  handoff.adopt(config, workdir)
  fits.check(config)
  parts = parts_lib.build(config.model)
  tokenizer = tokenizer_for(config, workdir)
  if not checkpoint.saved_steps(workdir):
    handoff.check(config, parts)
  clips = encoded.Clips(config) if config.data.latents else pipeline.Clips(
      config.data, 'train', config.seed, tokenizer)
  clips.clip(0, 0)
  if preview.wanted(config):
    preview.held_out(config, tokenizer)
  needed = check_memory(config, parts, *state_lib.shapes(config, parts, mesh), mesh,
                        clips.like(config.train.batch_size) if config.data.latents else None)
  say(f'a step is predicted to need {needed / 2**30:.2f} GiB of memory')
  return mesh, parts, tokenizer, clips


def prepare(config, workdir, ledger):
  """Checks everything that can be wrong, then restores the workdir or starts it afresh.

  Sets config.model.vae.scale where it is to be measured, and the sizes of networks that are taken
  over as they are.
  """
  mesh, parts, tokenizer, clips = checked(config, workdir)
  checkpoint.make_workdir(workdir)
  if not distributed.share(workdir):
    raise BadInput(f'workdir {workdir} is not one folder for all processes: choose a --workdir on a '
                   'file system that all hosts see')
  if tokenizer and distributed.first() and not checkpoint.saved_steps(workdir):
    tokenizer.save(workdir / 'assets')
  if clips.buckets:
    say(clips.buckets.describe())
  if config.task == 'denoising' and not config.model.vae.scale:
    batch = pipeline.eval_batch(clips, 64)
    config.model.vae.scale = handoff.latent_scale(config, parts, workdir, batch)
    parts = parts_lib.build(config.model)
  checkpoint.write_config(workdir, config)
  if distributed.first():
    (workdir / 'environment.json').write_text(json.dumps(environment(), indent=2))
  saved = saving.Checkpoints(workdir, config.checkpoint.keep)
  if saved.latest_step() is None:
    state, frozen = initial_state(config, parts, workdir, mesh)
    data = {'next_index': 0}
  else:
    ledger.to('restore')
    state, frozen, data = restored_state(config, parts, workdir, saved, mesh)
    say(f'resuming {workdir} at step {int(state.step)}')
    ledger.to('init')
  # Placed from the start: a step that changed this would be compiled twice.
  state = mesh_lib.place(state, mesh_lib.shardings(mesh, state))
  if config.data.latents:
    frozen = jax.device_get(frozen)  # for previews alone
    clips.check_networks(handoff.encoder_digests(frozen))
  else:
    frozen = mesh_lib.place(frozen, mesh_lib.shardings(mesh, frozen))
  return Run(parts, tokenizer, clips, saved, state, frozen, data, mesh)
