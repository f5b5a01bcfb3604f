"""The whole test session runs strict: no implicit rank or dtype promotion, 8 virtual devices.

Fixtures here are the small world that several files train and sample in: a data folder and every
experiment with networks of a few thousand parameters (tests/nano.py).
"""

import importlib.util
import os
import pathlib

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Read by subprocesses too, which must compute exactly what this process does.
os.environ['JAX_DEFAULT_MATMUL_PRECISION'] = 'highest'

import jax
import pytest

from svdjax.core import platform

platform.configure()
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_default_matmul_precision', 'highest')

NANO = pathlib.Path(__file__).with_name('nano.py')


@pytest.fixture(scope='session')
def toy(tmp_path_factory):
  """A data folder of 8 training and 4 test clips, 12 frames of 32x48 at 8 frames a second."""
  from data.toyworld import clip, generate, world
  from svdjax.inputs import record
  folder = tmp_path_factory.mktemp('data') / 'toy'
  args = vars(generate.parse(['--output', str(folder), '--height', '32', '--width', '48',
                              '--frames', '12', '--kinds', 'pointer']))
  lengths = {split: record.write_split(folder, split, (clip.make(args, split, i) for i in range(n)))
             for split, n in (('train', 8), ('test', 4))}
  record.write_metadata(folder, lengths, world.describe())
  return folder


@pytest.fixture(scope='session')
def compiled(tmp_path_factory):
  """Programs that were compiled once are read back, by subprocesses too; returns nothing."""
  folder = str(tmp_path_factory.mktemp('compiled'))
  os.environ['JAX_COMPILATION_CACHE_DIR'] = folder
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


@pytest.fixture(scope='session')
def nano(toy):
  """nano(name, **{field: value}) -> the config of an experiment on the toy data, see nano.py."""
  spec = importlib.util.spec_from_file_location('nano', NANO)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)

  def config(name, **changes):
    c = module.get_config(name)
    c.data.source = str(toy)
    c.update_from_flattened_dict(changes)
    return c

  return config
