"""A step is on disk whole or not at all, damage is found, and a bad disk ends nothing."""

import errno
import pathlib
import resource
import shutil
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import checkpoint, saving
from svdjax.core import faults, manifest
from svdjax.core.errors import BadInput
from svdjax.state import State


def state_at(step, size=5):
  """A state whose every number is random."""
  rng = np.random.default_rng(step)
  flat = lambda: {'unet/w': jnp.asarray(rng.standard_normal((3, 4)), jnp.float32),
                  'unet/deep/b': jnp.asarray(rng.standard_normal(size), jnp.float32)}
  return State(jnp.int32(step), flat(), flat(), {'count': jnp.int32(step), 'mu': flat()})


@pytest.fixture
def saved(tmp_path):
  """Checkpoints of a workdir with steps 3 and 7."""
  checkpoints = saving.Checkpoints(tmp_path, 2)
  for step in (3, 7):
    assert checkpoints.save(state_at(step), {'next_index': step})
  return checkpoints


def restored(workdir, size=5):
  return saving.Checkpoints(workdir, 2).restore(jax.eval_shape(lambda: state_at(0, size)))


def assert_is(state, step):
  jax.tree.map(np.testing.assert_array_equal, state, state_at(step))


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def files_of(folder):
  return sorted(p for p in folder.rglob('*') if p.is_file())


def test_one_bit_in_any_file_of_a_step_is_found(saved):
  folder = saved.directory / '7'
  for path in files_of(folder):
    before = path.read_bytes()
    flip(path)
    assert manifest.fault(folder), path
    path.write_bytes(before)
  assert manifest.fault(folder) is None


@pytest.mark.parametrize('damage', [
    lambda folder: flip(files_of(folder / 'ema' / 'd')[0]),
    lambda folder: (folder / 'opt' / 'manifest.ocdbt').unlink(),
    lambda folder: shutil.rmtree(folder / 'params'),
    lambda folder: (folder / 'manifest.json').unlink()])
def test_a_damaged_step_is_moved_away_and_the_one_before_is_used(saved, tmp_path, capsys, damage):
  damage(saved.directory / '7')
  state, data = restored(tmp_path)
  assert_is(state, 3)
  assert data == {'next_index': 3}
  line, = capsys.readouterr().err.splitlines()
  assert line.startswith('warning: step 7 of') and 'is damaged' in line
  assert line.endswith('going on from step 3')
  assert [row['kind'] for row in faults.read(tmp_path)] == ['checkpoint']
  assert (tmp_path / 'damaged' / '7').is_dir() and checkpoint.saved_steps(tmp_path) == [3]
  assert saving.Checkpoints(tmp_path, 2).save(state_at(7), {})  # the step can be saved anew


def test_without_a_good_step_nothing_is_restored_and_nothing_moved(saved, tmp_path):
  for step in ('3', '7'):
    flip(files_of(saved.directory / step / 'params' / 'd')[0])
  with pytest.raises(BadInput, match='no undamaged checkpoint .step 7: file params/d.*step 3'):
    restored(tmp_path)
  assert sorted(checkpoint.saved_steps(tmp_path)) == [3, 7]


def test_steps_from_before_there_were_checksums_are_read_with_a_warning(saved, tmp_path, capsys):
  for step in ('3', '7'):
    (saved.directory / step / 'manifest.json').unlink()
  assert_is(restored(tmp_path)[0], 7)
  assert 'have no checksums: read unverified' in capsys.readouterr().err


def test_a_checkpoint_of_the_released_format_is_read(tmp_path):
  """T19: written with orbax 0.12.8; who changes the format keeps a way to read this."""
  with zipfile.ZipFile(pathlib.Path(__file__).with_name('checkpoint.zip')) as file:
    file.extractall(tmp_path)
  state, data = restored(tmp_path)
  assert_is(state, 7)
  assert data == {'next_index': 7}


def test_another_shape_is_refused_with_the_name_and_both_shapes(saved, tmp_path):
  with pytest.raises(BadInput, match=r'holds \(5,\) for unet/deep/b, where the config makes \(6,\)'):
    restored(tmp_path, size=6)


def test_what_a_killed_save_left_is_no_step_and_goes_with_the_next(saved, tmp_path):
  for name in ('9.partial', '9.partial.orbax-checkpoint-tmp'):
    (saved.directory / name / 'params').mkdir(parents=True)
  assert_is(restored(tmp_path)[0], 7)
  saved.save(state_at(9), {})
  assert sorted(p.name for p in saved.directory.iterdir()) == ['7', '9']


@pytest.fixture
def full_disk():
  """full_disk(bytes): no file may grow past so many, as if the disk was full."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)

  def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

  yield limit
  resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_saves_and_ends_the_run_at_the_third_in_a_row(
    saved, tmp_path, full_disk, capsys):
  full_disk(64)
  assert not saved.save(state_at(8), {}) and not saved.save(state_at(9), {})
  full_disk(resource.RLIM_INFINITY)
  assert saved.save(state_at(10), {})  # room again
  full_disk(64)
  assert not saved.save(state_at(11), {}) and not saved.save(state_at(12), {})
  with pytest.raises(saving.SaveError, match='step 13 .*the last good step is 10: free disk space'):
    saved.save(state_at(13), {})
  full_disk(resource.RLIM_INFINITY)
  assert_is(restored(tmp_path)[0], 10)
  assert sorted(p.name for p in saved.directory.iterdir()) == ['10', '7']
  assert capsys.readouterr().err.count('training goes on') == 4


def test_a_folder_that_is_gone_costs_one_save(saved, tmp_path):
  shutil.rmtree(saved.directory)
  saved.directory.touch()
  assert not saved.save(state_at(8), {})
  saved.directory.unlink()
  assert saved.save(state_at(9), {})
  assert_is(restored(tmp_path)[0], 9)


def test_a_save_that_nothing_follows_must_not_fail(saved, monkeypatch):
  def fail(_):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(manifest, 'write', fail)
  with pytest.raises(saving.SaveError, match='Input/output error.*last good step is 7'):
    saved.save(state_at(8), {}, needed=True)


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('item', ['params', 'ema', 'opt'])
def test_a_state_that_is_not_finite_never_becomes_the_latest(saved, tmp_path, item, value):
  broken = jax.tree.map(lambda x: x * value if x.dtype == jnp.float32 else x,
                        getattr(state_at(8), item))
  with pytest.raises(saving.SaveError, match='not finite and is not saved; the last good step is 7'):
    saved.save(state_at(8)._replace(**{item: broken}), {})
  assert_is(restored(tmp_path)[0], 7)


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path):
  change = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
  checkpoints, state, expected = saving.Checkpoints(tmp_path, 20), state_at(0), {}
  for _ in range(20):
    state = change(state)
    checkpoints.save(state, {})
    expected[int(state.step)] = jax.tree.map(np.array, state.params)
  for step, params in expected.items():
    found = checkpoint.load_params(tmp_path / 'checkpoints' / str(step) / 'params')
    jax.tree.map(np.testing.assert_array_equal, found, params)


def test_sampling_falls_back_too_and_leaves_the_workdir_as_it_is(saved, tmp_path, nano, capsys):
  checkpoint.write_config(tmp_path, nano('clip'))
  flip(files_of(saved.directory / '7' / 'ema' / 'd')[0])
  _, params, step = checkpoint.load(tmp_path)
  assert step == 3
  jax.tree.map(np.testing.assert_array_equal, params, state_at(3).ema)
  assert 'is damaged' in capsys.readouterr().err and (saved.directory / '7').is_dir()
  assert checkpoint.load(tmp_path, ema=False)[2] == 7  # whose other items are whole


def test_damaged_frozen_parameters_are_refused(saved, tmp_path, nano):
  checkpoint.write_config(tmp_path, nano('clip'))
  checkpoint.save_params(tmp_path / 'frozen', {'vae/w': jnp.arange(3.)})
  assert 'vae/w' in checkpoint.load(tmp_path)[1]
  flip(files_of(tmp_path / 'frozen' / 'd')[0])
  with pytest.raises(BadInput, match='damaged frozen parameters .file d/'):
    checkpoint.load(tmp_path)
