"""The whole test session runs strict: no implicit rank or dtype promotion, 8 virtual devices.

Fixtures here are the small world that several files train and sample in: a data folder and every
experiment with networks of a few thousand parameters (tests/nano.py).
"""

import importlib.util
import os
import pathlib
import re

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = (os.environ.get('XLA_FLAGS', '')
                           + ' --xla_force_host_platform_device_count=8')

import jax
from jax.experimental.compilation_cache import compilation_cache
import numpy as np
import pytest

from svdjax.core import platform

platform.configure()
jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_default_matmul_precision', 'highest')

PROMISED = re.compile(r"could not import '(torch|diffusers|transformers|peft|apache_beam)\b")
NANO = pathlib.Path(__file__).with_name('nano.py')


def _required(report):
  """The report, failed where it skips for lack of what `launch/test.sh --parity` installs."""
  reason = str(report.longrepr)
  if os.environ.get('SVDJAX_PARITY') and report.skipped and PROMISED.search(reason):
    report.outcome, report.longrepr = 'failed', f'--parity skips nothing: {reason}'
  return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
  return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
  return _required((yield))


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
def nano(toy):
  """nano(name, {field: value}) -> the config of an experiment on the toy data, see nano.py."""
  spec = importlib.util.spec_from_file_location('nano', NANO)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)

  def config(name, changes=None):
    c = module.get_config(name)
    c.data.source = str(toy)
    c.update_from_flattened_dict(changes or {})
    return c

  return config


@pytest.fixture(scope='session')
def workdir_of(nano, tmp_path_factory):
  """workdir_of(name) -> the workdir of a stage after step 3, with random parameters in place of
  trained ones: nothing is compiled for it, and no output is zero."""
  from svdjax import checkpoint, saving, state
  from svdjax.core.params import select
  from svdjax.core.rng import key_of
  from svdjax.inputs import pipeline
  from svdjax.models.tokenizer import Tokenizer
  from svdjax.tasks import parts as parts_lib
  made = {}

  def make(name):
    if name in made:
      return made[name]
    config, folder = nano(name), tmp_path_factory.mktemp(name.replace(',', '_'))
    if config.task == 'denoising':
      config.model.vae.scale = 1.
    parts = parts_lib.build(config.model)
    rng = np.random.default_rng(1)
    params = {n: x + 0.1 * rng.standard_normal(x.shape).astype(np.float32)
              for n, x in parts.init(lambda n: key_of(0, n), parts.networks).items()}
    trained, frozen = select(params, tuple(config.train.trainable))
    checkpoint.write_config(folder, config)
    if frozen:
      checkpoint.save_params(folder / 'frozen', frozen)
    saved = saving.Checkpoints(folder, 1)
    initial = state.create(config, trained)
    raw = {n: x + 0.5 for n, x in trained.items()}
    saved.save(initial._replace(step=jax.numpy.int32(3), params=raw), {'next_index': 3})
    saved.close()
    if 'clip_text' in config.model:
      Tokenizer.train(pipeline.captions(config.data), config.model.clip_text.vocab,
                      config.model.clip_text.context).save(folder / 'assets')
    return made.setdefault(name, folder)

  return make


@pytest.fixture(scope='session')
def programs(tmp_path_factory):
  """A folder of compiled programs, shared by all who use `compiled`."""
  return str(tmp_path_factory.mktemp('programs'))


@pytest.fixture(scope='module')
def compiled(programs):
  """Compiles fast rather than well, and once for all modules and subprocesses that use this."""
  settings = {'jax_compilation_cache_dir': programs, 'jax_disable_most_optimizations': True,
              'jax_persistent_cache_min_compile_time_secs': 0.2}
  environment = {name.upper(): str(value) for name, value in settings.items()}
  environment |= {'JAX_DEFAULT_MATMUL_PRECISION': 'highest', 'JAX_NUMPY_RANK_PROMOTION': 'raise'}
  before = {name: jax.config.values[name] for name in settings}
  with pytest.MonkeyPatch.context() as patch:
    for name, value in environment.items():
      patch.setenv(name, value)
    for name, value in settings.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX decides at its first compilation whether it has a cache
    yield
    for name, value in before.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def optimized(compiled):
  """Compiles as users do in one test of a module that uses `compiled`."""
  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', True)
