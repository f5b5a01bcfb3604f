"""Saving and restoring the training state of a workdir, whatever the disk does.

A step is written beside its final place, given a manifest of checksums, and renamed: a folder
checkpoints/STEP is there whole or not at all. Restoring reads the latest step whose checksums
agree; damaged later ones are moved to damaged/, and both are reported.
"""

import contextlib
import pathlib
import shutil

import jax
from jax.experimental import multihost_utils
import jax.numpy as jnp
import orbax.checkpoint as ocp

from svdjax import checkpoint
from svdjax.core import distributed, manifest
from svdjax.core.errors import BadInput, Stopped
from svdjax.core.faults import Faults
from svdjax.state import State

PATIENCE = 3  # saves that may fail one after the other


class SaveError(Stopped):
  """Nothing can be saved; the last good step is on disk."""


def _abstract(tree):
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


@jax.jit
def _finite(x):
  return jnp.isfinite(x).all()


def all_finite(tree):
  """Whether no array of a pytree holds a NaN or an infinity.

  One small program for each shape: one over all arrays of a UNet takes 40 s to compile. One after
  the other: on CPU, hundreds of sums over devices at once may wait for each other and abort.
  """
  floats = (x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact))
  return all(bool(_finite(x)) for x in floats)


class Checkpoints:
  """Saves and restores the training state of one workdir.

  Args:
    workdir: folder.
    keep: how many of the latest steps stay on disk.
  """

  def __init__(self, workdir, keep):
    self.workdir, self.keep, self.failed = pathlib.Path(workdir), keep, 0
    self.faults = Faults(workdir, silent=not distributed.first())
    self.directory = self.workdir.absolute() / 'checkpoints'
    self._orbax = ocp.Checkpointer(ocp.CompositeCheckpointHandler())

  def latest_step(self):
    """The latest step on disk, None if there is none."""
    return max(checkpoint.saved_steps(self.workdir), default=None)

  def save(self, state, data, needed=False):
    """Writes one step; a disk that refuses it is reported, and training goes on.

    Args:
      state: a State.
      data: JSON, the position in the data.
      needed: nothing comes after, so a failure is raised.

    Returns:
      Whether the step is on disk.

    Raises:
      SaveError: the third save in a row failed, a needed one did, or the state is not finite.
    """
    step = int(state.step)
    if step == self.latest_step():
      return True
    if not all_finite(state):
      raise SaveError(f'the state at step {step} holds values that are not finite and is not '
                      f'saved; {self._last()}: lower config.optim.lr')
    try:
      self._write(step, state, data)
    except Exception as error:  # orbax raises many kinds for a disk that is full or gone
      self.failed += 1
      self._clear()
      reason = f'step {step} could not be saved ({type(error).__name__}: {_first_line(error)})'
      if needed or self.failed >= PATIENCE:
        raise SaveError(f'{reason}; {self._last()}: free disk space and run the same command '
                        'again') from error
      self.faults.report('save', f'{reason}; training goes on', step=step)
      return False
    self.failed = 0
    return True

  def _last(self):
    step = self.latest_step()
    return 'nothing is saved yet' if step is None else f'the last good step is {step}'

  def _write(self, step, state, data):
    partial, save, fault = self.directory / f'{step}.partial', ocp.args.StandardSave, None
    try:
      self.directory.mkdir(parents=True, exist_ok=True)
      self._orbax.save(partial, force=True, args=ocp.args.Composite(
          params=save(state.params), ema=save(state.ema), opt=save(state.opt),
          data=ocp.args.JsonSave(data)))
    except Exception as error:  # of several processes, one alone may fail
      fault = error
    if distributed.agree(fault is None):
      fault = self._finish(partial, step) if distributed.first() else None
      if distributed.agree(fault is None):
        return
    raise fault or OSError('another process could not write its part')

  def _finish(self, partial, step):
    """Makes what all processes wrote the latest step; returns the error that prevented it."""
    try:
      manifest.write(partial)
      partial.rename(self.directory / str(step))
      for old in sorted(checkpoint.saved_steps(self.workdir))[:-self.keep]:
        (self.directory / str(old)).rename(self.directory / f'{old}.partial')
      self._clear()
    except OSError as error:
      return error
    return None

  def _clear(self):
    """Removes what is not a finished step: of killed runs, failed saves and steps too old."""
    if distributed.first():
      for path in self.directory.glob('*'):
        if not path.name.isdigit():
          shutil.rmtree(path, ignore_errors=True)

  def restore(self, like):
    """The latest good state and data position, or None; `like` has its shapes and shardings.

    Raises:
      BadInput: no step is as it was written, or it is of other networks.
    """
    if self.latest_step() is None:
      return None
    step = self._good_step()
    folder, get = self.directory / str(step), lambda tree: ocp.args.StandardRestore(_abstract(tree))
    self._check_shapes(folder / 'params', like.params)
    items = self._orbax.restore(folder, args=ocp.args.Composite(
        params=get(like.params), ema=get(like.ema), opt=get(like.opt),
        data=ocp.args.JsonRestore()))
    params, ema, opt = jax.tree.map(jnp.copy, (items.params, items.ema, items.opt))
    return State(jnp.int32(step), params, ema, opt), items.data

  def _good_step(self):
    """The latest step whose checksums agree; process 0 looks and moves later ones away."""
    step = -1
    if distributed.first():
      with contextlib.suppress(BadInput):
        step, damaged = checkpoint.good_step(self.workdir)
        for bad, fault in damaged.items():
          self.faults.report('checkpoint', f'step {bad} of {self.workdir} is damaged ({fault}): '
                             f'going on from step {step}', step=bad)
          _move(self.directory / str(bad), self.workdir / 'damaged')
    if jax.process_count() > 1:
      distributed.meet('good step')  # the checksums of a large state take minutes
      step = int(multihost_utils.broadcast_one_to_all(jnp.int32(step)))
    return step if step >= 0 else checkpoint.good_step(self.workdir)[0]

  def _check_shapes(self, folder, like):
    with ocp.PyTreeCheckpointer() as checkpointer:
      stored = checkpointer.metadata(folder).item_metadata
    for name in sorted({*like, *stored.keys()}):
      have, want = (tuple(x[name].shape) if name in x else 'nothing' for x in (stored, like))
      if have != want:
        raise BadInput(f'workdir {self.workdir} holds {have} for {name}, where the config makes '
                       f'{want}: use a new workdir or the config it was trained with')

  def close(self):
    self._orbax.close()


def _first_line(error):
  return (str(error).splitlines() or [''])[0][:200]


def _move(folder, to):
  to.mkdir(exist_ok=True)
  shutil.rmtree(to / folder.name, ignore_errors=True)
  folder.rename(to / folder.name)
