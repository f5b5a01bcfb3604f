"""From a config to a stage that is ready to train: checks, networks, data, state."""

import json
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from svdjax import checkpoint, handoff, preview, saving, state as state_lib
from svdjax.core import distributed, mesh as mesh_lib
from svdjax.core.distributed import say
from svdjax.core.environment import environment
from svdjax.core.errors import BadInput
from svdjax.core.params import select
from svdjax.inputs import encoded, pipeline
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import parts as parts_lib
from svdjax.validate import check_config, check_mesh


def tokenizer_for(config, workdir):
  """The tokenizer of a stage with a text tower: from its workdir, earlier stages or the data.

  Raises:
    BadInput: a denoising stage whose init_from brings no tokenizer.
  """
  if 'clip_text' not in config.model:
    return None
  assets = pathlib.Path(workdir) / 'assets'
  if distributed.first():
    _write_tokenizer(config, workdir, assets)
  distributed.meet('tokenizer')
  return Tokenizer.load(assets)


def _write_tokenizer(config, workdir, assets):
  for source in handoff.sources(config.init_from):
    checkpoint.copy_assets(source, workdir)
  if not (assets / 'vocab.json').is_file():
    if config.task != 'contrastive':
      raise BadInput(f'init_from {config.init_from} brings no tokenizer (assets/vocab.json): name '
                     'the workdir of the CLIP stage too')
    Tokenizer.train(pipeline.captions(config.data), config.model.clip_text.vocab,
                    config.model.clip_text.context).save(assets)


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


def prepare(config, workdir, ledger):
  """Checks everything that can be wrong, then restores the workdir or starts it afresh.

  Sets config.model.vae.scale where it is to be measured, and the sizes of networks that are taken
  over as they are.
  """
  check_config(config)
  mesh = mesh_lib.make(config.mesh)
  check_mesh(config, mesh)
  handoff.require_sources(config, workdir)
  checkpoint.make_workdir(workdir)
  handoff.adopt(config, workdir)
  parts = parts_lib.build(config.model)
  tokenizer = tokenizer_for(config, workdir)
  clips = encoded.Clips(config) if config.data.latents else pipeline.Clips(
      config.data, 'train', config.seed, tokenizer)
  clips.clip(0, 0)
  if clips.buckets:
    say(clips.buckets.describe())
  if preview.wanted(config):
    preview.held_out(config, tokenizer)
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
