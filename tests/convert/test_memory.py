"""Conversions hold a few tensors at a time, not a component: resident memory of real processes."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from svdjax import checkpoint
from svdjax.convert import recipe, store, to_diffusers, to_sgm
from svdjax.core import saved, weights

SCRIPT = pathlib.Path(__file__).with_name('resident.py')
FLOAT = np.dtype(np.float32)
CHANNELS = {'small': (32, 64), 'large': (192, 384)}  # of the UNet; large is 183 MB
pytestmark = pytest.mark.skipif(not pathlib.Path('/proc/self/status').exists(),
                                reason='resident memory is read from /proc')


def nbytes(network, sizes):
  shapes = store.shapes_of(network, sizes).values()
  return sum(weights.Spec(shape, FLOAT).nbytes for shape in shapes)


def write_checkpoint(path, model):
  """A converted checkpoint of random weights."""
  (path / 'params').mkdir(parents=True)
  rng = np.random.default_rng(0)
  for name, sizes in model.items():
    specs = {n: weights.Spec(s, FLOAT) for n, s in store.shapes_of(name, sizes).items()}
    weights.write(checkpoint.converted_file(path, name), specs,
                  ((n, rng.random(s.shape, np.float32)) for n, s in specs.items()))
  config = recipe.config('image-to-video', model, FLOAT, 'svd')
  (path / 'config.json').write_text(json.dumps(config.to_dict()))
  return path


def write_workdir(path, model):
  """A workdir after step 7 of such a model: the UNet was trained, the rest frozen."""
  source = write_checkpoint(path / 'converted', model)
  for network in model:
    held = checkpoint.load_network(source, network)
    folder = path / 'checkpoints' / '7' / 'ema' if network == 'unet' else path / 'frozen'
    before = saved.load_params(folder) if folder.is_dir() else {}
    saved.save_params(folder, before | {n: held.read(n) for n in held.specs})
  (source / 'config.json').rename(path / 'config.json')
  return path


def write_single(path, model):
  to_sgm.convert(write_checkpoint(path / 'converted', model), path / 'f.safetensors')
  return path / 'f.safetensors'


def write_folder(path, model):
  to_diffusers.convert(write_checkpoint(path / 'converted', model), path / 'folder')
  return path / 'folder'


# (way, how its source is written, share of the largest component that may be added). Files are read
# tensor by tensor, and mapping them would add all of it; orbax reads groups of 64 MiB, twice in
# memory while they are decompressed.
WAYS = {'folder': ('from-diffusers', write_folder, 0.5),
        'single file': ('from-sgm', write_single, 0.5),
        'workdir': ('to-diffusers', write_workdir, 1.3)}


@pytest.mark.parametrize('source', [
    'folder', pytest.param('single file', marks=pytest.mark.slow),
    pytest.param('workdir', marks=pytest.mark.slow)])
def test_a_conversion_adds_less_memory_than_its_largest_component(world, tmp_path, source):
  way, write, share = WAYS[source]
  arguments = []
  for size, channels in CHANNELS.items():
    model = world.VIDEO | {'unet': world.unet(channels, (2, 4), 1, 64, 32)}
    arguments += [write(tmp_path / size, model), tmp_path / f'{size} out']
  largest = max(nbytes(*network) for network in model.items())
  done = subprocess.run([sys.executable, SCRIPT, way, *arguments], capture_output=True, text=True,
                        check=False, env=os.environ | {'PYTHONPATH': str(SCRIPT.parents[2])})
  assert done.returncode == 0, done.stderr
  added = int(done.stdout.splitlines()[-1])
  assert 180e6 < largest and added < share * largest
