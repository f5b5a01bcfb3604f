"""A workdir on disk: state of the latest steps, frozen parameters, config and tokenizer.

    config.json        the resolved config
    checkpoints/STEP/  orbax items params, ema, opt, data, and a manifest of checksums
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
from ml_collections import ConfigDict
import numpy as np

from svdjax.core import distributed, json_dict, manifest, weights
from svdjax.core.errors import BadInput
from svdjax.core.distributed import say
from svdjax.core.saved import Saved, load_params, save_params  # noqa: F401

logging.getLogger('absl').setLevel(logging.ERROR)
# Fields that may change when a workdir is resumed; any other change is refused.
CHANGEABLE = ('train.steps', 'train.log_every', 'checkpoint.', 'sample.', 'data.threads',
              'data.cache', 'data.max_damaged', 'data.source', 'data.latents', 'init_from', 'mesh.',
              'handoff.')


def _tuples(value):
  if isinstance(value, list):
    return tuple(_tuples(v) for v in value)
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return value


def load_config(path):
  """The config that a workdir was trained with.

  Raises:
    BadInput: the folder is not a workdir, or its config.json is damaged.
  """
  file = pathlib.Path(path) / 'config.json'
  if not file.is_file():
    raise BadInput(f'checkpoint {path} is not a workdir: it has no config.json; give the folder '
                   'that was passed as --workdir, or convert it first with svdjax.convert')
  return ConfigDict(_tuples(json_dict.parse(file.read_text(errors='replace'), file)))


def saved_steps(workdir):
  """The steps whose checkpoints are complete, in no order."""
  folders = (pathlib.Path(workdir) / 'checkpoints').glob('*')
  return [int(p.name) for p in folders if p.name.isdigit()]


def good_step(workdir, part=''):
  """The latest step whose files are as they were written; without any manifest, the latest.

  Args:
    workdir: folder with at least one saved step.
    part: 'ema/' or 'params/' to look at that item alone.

  Returns:
    (step, {later step: what is wrong with it}).

  Raises:
    BadInput: no step is good.
  """
  folders = {n: pathlib.Path(workdir) / 'checkpoints' / str(n) for n in saved_steps(workdir)}
  if not any(manifest.exists(folder) for folder in folders.values()):
    say(f'warning: checkpoints of {workdir} have no checksums: read unverified')
    return max(folders), {}
  step, damaged = manifest.latest_good(folders, part)
  if step is not None:
    return step, damaged
  faults = '; '.join(f'step {step}: {fault}' for step, fault in damaged.items())
  raise BadInput(f'workdir {workdir} has no undamaged checkpoint ({faults}): put back a copy, or '
                 'train in a new workdir')


def _frozen(workdir):
  """[the folder of what a stage did not train], [] if it trained all; BadInput if damaged."""
  folder = pathlib.Path(workdir) / 'frozen'
  if not folder.is_dir():
    return []
  if manifest.exists(folder) and (fault := manifest.fault(folder)):
    raise BadInput(f'workdir {workdir} has damaged frozen parameters ({fault}): put back a copy of '
                   'frozen/, or train in a new workdir')
  return [folder]


def load_frozen(workdir):
  """What a stage did not train, {name: numpy array}; raises BadInput if damaged."""
  return {n: x for folder in _frozen(workdir) for n, x in load_params(folder).items()}


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
  config = load_config(path)
  folders, step = _folders(path, ema)
  params = {n: x for folder in folders for n, x in load_params(folder).items()}
  for network in () if folders else config.model:
    source = load_network(path, network)
    params |= {name: source.read(name) for name in source.specs}
  return config, jax.device_put(params), step


def specs(path, ema=True):
  """{name: Spec} of the parameters that `load` gives; none of them is read.

  Raises:
    BadInput: as `load`.
  """
  config, (folders, _) = load_config(path), _folders(path, ema)
  if folders:
    return Saved(folders).specs
  return {name: spec for network in config.model
          for name, spec in load_network(path, network).specs.items()}


def load_network(path, network, ema=True):
  """One network of a checkpoint as weights.Weights or Saved, which stay on disk until read.

  Raises:
    BadInput: as `load`, or a converted checkpoint lacks the network.
  """
  folders, _ = _folders(path, ema)
  if folders:
    return Saved(folders, network + '/')
  file = converted_file(path, network)
  if not file.is_file():
    raise BadInput(f'checkpoint {path} lacks its {network} (params/{file.name}): convert it again')
  return weights.Weights([file])


def _folders(path, ema):
  """([orbax items], step) of a workdir, ([], 0) of a converted checkpoint.

  Raises:
    BadInput: no step was saved, or none is good.
  """
  if not is_ready(path):
    raise BadInput(f'checkpoint {path} has no saved step yet: train it first')
  if not saved_steps(path):
    return [], 0
  item = 'ema' if ema else 'params'
  step, damaged = good_step(path, item + '/')
  for bad, fault in damaged.items():
    say(f'warning: step {bad} of {path} is damaged ({fault}): using step {step}')
  folder = pathlib.Path(path) / 'checkpoints' / str(step) / item
  return [*_frozen(path), folder], step


def make_workdir(workdir):
  """Creates the folder; raises BadInput if it cannot be written, or is none of a file system."""
  workdir = pathlib.Path(workdir)
  if workdir.parts and workdir.parts[0].endswith(':'):
    raise BadInput(f'workdir {workdir} is no folder: mount the bucket and give the path it has then')
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
    old, new = map(json_dict.flat, (json_dict.parse(file.read_text(), file), json.loads(text)))
    changed = {n: f'{n} {old.get(n)} -> {new.get(n)}' for n in sorted(old | new)
               if old.get(n) != new.get(n)}
    free = [n for n in changed if n.startswith(CHANGEABLE)]
    if config.optim.decay and 'train.steps' in free:
      free.remove('train.steps')  # the learning rate falls to zero at the last step
    if wrong := [text for n, text in changed.items() if n not in free]:
      more = f'; and {len(wrong) - 4} more' if len(wrong) > 4 else ''
      raise BadInput(f'workdir {workdir} was trained with another config '
                     f'({"; ".join(wrong[:4])}{more}): use a new workdir or the old values')
    if changed:
      say(f'config of {workdir} changed: {"; ".join(changed.values())}')
    else:
      return
  if distributed.first():
    temporary = file.with_suffix('.tmp')
    temporary.write_text(text)
    os.replace(temporary, file)


def copy_assets(source, workdir):
  """Takes over the tokenizer of an earlier stage."""
  if (pathlib.Path(source) / 'assets').is_dir():
    shutil.copytree(pathlib.Path(source) / 'assets', pathlib.Path(workdir) / 'assets',
                    dirs_exist_ok=True)
