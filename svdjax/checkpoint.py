"""A workdir on disk: state of the latest steps, frozen parameters, config and tokenizer.

    config.json        the resolved config
    checkpoints/STEP/  orbax items params, ema, opt, data
    frozen/            what the stage did not train (autoencoder, CLIP), once
    assets/            the tokenizer

A converted checkpoint has NETWORK.safetensors files in params/ in place of the middle two.
"""

import json
import logging
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import orbax.checkpoint as ocp

from svdjax.core import distributed, weights
from svdjax.core.errors import BadInput
from svdjax.state import State

logging.getLogger('absl').setLevel(logging.ERROR)
# Fields that may change when a workdir is resumed; any other change is refused.
CHANGEABLE = ('train.steps', 'train.log_every', 'checkpoint.', 'sample.', 'data.threads',
              'data.cache', 'data.source', 'init_from', 'mesh.')


def _abstract(tree):
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


class Checkpoints:
  """Saves and restores the training state of one workdir.

  Args:
    workdir: folder.
    keep: how many of the latest steps stay on disk.
  """

  def __init__(self, workdir, keep):
    self.workdir = pathlib.Path(workdir)
    directory = self.workdir.absolute() / 'checkpoints'
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, create=True, enable_async_checkpointing=False)
    self.manager = ocp.CheckpointManager(directory, options=options)

  def latest_step(self):
    return self.manager.latest_step()

  def save(self, state, data):
    """Writes one step; `data` is JSON, the position in the data."""
    step = int(state.step)
    if step == self.manager.latest_step():
      return
    save = ocp.args.StandardSave
    self.manager.save(step, args=ocp.args.Composite(
        params=save(state.params), ema=save(state.ema), opt=save(state.opt),
        data=ocp.args.JsonSave(data)))
    self.manager.wait_until_finished()

  def restore(self, like):
    """The latest state and data position, or None; `like` is a State of shapes and shardings."""
    step = self.manager.latest_step()
    if step is None:
      return None
    get = lambda tree: ocp.args.StandardRestore(_abstract(tree))
    items = self.manager.restore(step, args=ocp.args.Composite(
        params=get(like.params), ema=get(like.ema), opt=get(like.opt),
        data=ocp.args.JsonRestore()))
    params, ema, opt = jax.tree.map(jnp.copy, (items.params, items.ema, items.opt))
    return State(jnp.int32(step), params, ema, opt), items.data

  def close(self):
    self.manager.close()


def save_params(directory, params):
  """Writes a flat {name: array} as one orbax checkpoint, replacing what is there."""
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(pathlib.Path(directory).absolute(), params, force=True)


def load_params(directory, prefix=''):
  """Reads what `save_params` (or one orbax item of a step) wrote, numpy arrays.

  Only names that start with `prefix` are read from disk.
  """
  directory = pathlib.Path(directory).absolute()
  with ocp.PyTreeCheckpointer() as checkpointer:
    names = [n for n in checkpointer.metadata(directory).item_metadata if n.startswith(prefix)]
    as_numpy = {n: ocp.RestoreArgs(restore_type=np.ndarray) for n in names}
    args = ocp.args.PyTreeRestore(dict.fromkeys(names, 0), restore_args=as_numpy,
                                  partial_restore=True)
    return checkpointer.restore(directory, args=args) if names else {}


def _tuples(value):
  if isinstance(value, list):
    return tuple(_tuples(v) for v in value)
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return value


def load_config(path):
  """The config that a workdir was trained with.

  Raises:
    BadInput: the folder is not a workdir.
  """
  file = pathlib.Path(path) / 'config.json'
  if not file.is_file():
    raise BadInput(f'checkpoint {path} is not a workdir: it has no config.json; give the folder '
                   'that was passed as --workdir')
  return ConfigDict(_tuples(json.loads(file.read_text())))


def saved_steps(workdir):
  """The steps whose checkpoints are complete, in no order."""
  folders = (pathlib.Path(workdir) / 'checkpoints').glob('*')
  return [int(p.name) for p in folders if p.name.isdigit()]


def converted_file(path, network):
  """Where a converted checkpoint keeps one network."""
  return pathlib.Path(path) / 'params' / f'{network}.safetensors'


def is_ready(path):
  """Whether a folder holds parameters: a converted checkpoint or a workdir with a saved step."""
  return converted_file(path, '').parent.is_dir() or bool(saved_steps(path))


def load(path, ema=True):
  """All parameters of a converted checkpoint, or of the latest step of a workdir.

  Args:
    path: folder.
    ema: the moving average of what was trained rather than its raw parameters.

  Returns:
    (config, {name: array}, step), step 0 for a converted checkpoint.

  Raises:
    BadInput: not a workdir, or no step was saved in it.
  """
  config, params = load_config(path), {}
  for folder in _folders(path, ema):
    params |= load_params(folder)
  for network in config.model if not params else ():
    source = load_network(path, network)
    params |= {name: source.read(name) for name in source.specs}
  return config, jax.tree.map(jnp.asarray, params), max(saved_steps(path), default=0)


def load_network(path, network, ema=True):
  """One network of a checkpoint as weights.Weights or weights.Loaded; others stay on disk.

  Raises:
    BadInput: as `load`.
  """
  params = {}
  for folder in _folders(path, ema):
    params |= load_params(folder, network + '/')
  return weights.Loaded(params) if params else weights.Weights([converted_file(path, network)])


def _folders(path, ema):
  """The orbax checkpoints of a workdir, later ones over earlier ones; none if it is converted.

  Raises:
    BadInput: no step was saved.
  """
  path, steps = pathlib.Path(path), saved_steps(path)
  if not is_ready(path):
    raise BadInput(f'checkpoint {path} has no saved step yet: train it first')
  if not steps:
    return []
  trained = path / 'checkpoints' / str(max(steps)) / ('ema' if ema else 'params')
  return [path / 'frozen', trained] if (path / 'frozen').is_dir() else [trained]


def _flat(tree, prefix=''):
  if isinstance(tree, dict):
    return {k: v for name, value in tree.items()
            for k, v in _flat(value, f'{prefix}{name}.').items()}
  return {prefix[:-1]: tree}


def make_workdir(workdir):
  """Creates the folder; raises BadInput if it cannot be written."""
  workdir = pathlib.Path(workdir)
  probe = workdir / f'.writable-{jax.process_index()}'
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise BadInput(f'workdir {workdir} cannot be written ({error.strerror}): choose another '
                   '--workdir') from None


def write_config(workdir, config):
  """Writes config.json, or checks that a workdir with a saved step has the same.

  Raises:
    BadInput: the workdir was trained with another config.
  """
  workdir, text = pathlib.Path(workdir), json.dumps(config.to_dict(), indent=2, default=list)
  file = workdir / 'config.json'
  if file.is_file() and saved_steps(workdir):
    old, new = _flat(json.loads(file.read_text())), _flat(json.loads(text))
    changed = [f'{n} {old.get(n)} -> {new.get(n)}' for n in sorted(old | new)
               if old.get(n) != new.get(n) and not n.startswith(CHANGEABLE)]
    if changed:
      raise BadInput(f'workdir {workdir} was trained with another config '
                     f'({"; ".join(changed[:4])}): use a new workdir or the old values')
  if distributed.first():
    temporary = file.with_suffix('.tmp')
    temporary.write_text(text)
    os.replace(temporary, file)
  distributed.meet('config')


def copy_assets(source, workdir):
  """Takes over the tokenizer of an earlier stage."""
  if (pathlib.Path(source) / 'assets').is_dir():
    shutil.copytree(pathlib.Path(source) / 'assets', pathlib.Path(workdir) / 'assets',
                    dirs_exist_ok=True)
