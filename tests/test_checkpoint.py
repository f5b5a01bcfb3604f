"""What a workdir keeps, what it takes back, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import checkpoint, saving, state as state_lib
from svdjax.core.errors import BadInput


@pytest.fixture
def config(nano):
  return nano('image_discrete')


def state_at(config, step):
  """A state whose every number is random."""
  rng = np.random.default_rng(step)
  params = {'unet/w': jnp.zeros((3, 4)), 'unet/deep/b': jnp.zeros(5)}
  draw = lambda x: jnp.asarray(rng.standard_normal(x.shape) * 100).astype(x.dtype)
  state = jax.tree.map(draw, state_lib.create(config, params))
  return state._replace(step=jnp.int32(step))


def saved(workdir, config, *steps, keep=2):
  checkpoint.make_workdir(workdir)
  checkpoint.write_config(workdir, config)
  checkpoints = saving.Checkpoints(workdir, keep)
  for step in steps:
    checkpoints.save(state_at(config, step), {'next_index': step})
  return checkpoints


def test_a_state_comes_back_bitwise(tmp_path, config):
  saved(tmp_path, config, 3, 7).close()
  like = jax.eval_shape(lambda: state_at(config, 0))
  state, data = saving.Checkpoints(tmp_path, 2).restore(like)
  assert data == {'next_index': 7}
  jax.tree.map(np.testing.assert_array_equal, state, state_at(config, 7))
  assert jax.tree.structure(state) == jax.tree.structure(like)


def test_an_empty_workdir_has_nothing_to_restore(tmp_path, config):
  empty = saved(tmp_path, config)
  assert empty.latest_step() is None and empty.restore(state_at(config, 0)) is None


def test_only_the_latest_steps_are_kept(tmp_path, config):
  saved(tmp_path, config, 1, 2, 3, keep=2).close()
  assert sorted(checkpoint.saved_steps(tmp_path)) == [2, 3]


def test_saving_a_step_again_changes_nothing(tmp_path, config):
  checkpoints = saved(tmp_path, config, 3)
  checkpoints.save(state_at(config, 3), {'next_index': 99})
  assert checkpoints.restore(state_at(config, 0))[1] == {'next_index': 3}


def test_half_a_save_is_no_step(tmp_path, config):
  saved(tmp_path, config, 3).close()
  (tmp_path / 'checkpoints' / '4.orbax-checkpoint-tmp' / 'params').mkdir(parents=True)
  assert checkpoint.load(tmp_path)[2] == 3
  assert saving.Checkpoints(tmp_path, 2).latest_step() == 3


def test_loading_gives_the_average_or_the_raw_parameters_beside_the_frozen(tmp_path, config):
  saved(tmp_path, config, 3).close()
  frozen = {'vae/w': jnp.arange(3.)}
  checkpoint.save_params(tmp_path / 'frozen', frozen)
  state = state_at(config, 3)
  for ema, expected in ((True, state.ema), (False, state.params)):
    loaded, params, step = checkpoint.load(tmp_path, ema=ema)
    assert loaded.to_dict() == config.to_dict() and step == 3
    jax.tree.map(np.testing.assert_array_equal, params, expected | frozen)


def test_frozen_parameters_are_replaced_whole(tmp_path):
  checkpoint.save_params(tmp_path / 'frozen', {'a': jnp.ones(2), 'b': jnp.ones(2)})
  checkpoint.save_params(tmp_path / 'frozen', {'a': jnp.zeros(2)})
  assert list(checkpoint.load_params(tmp_path / 'frozen')) == ['a']


@pytest.mark.parametrize('field, value', [
    ('model.unet.head_dim', 4), ('data.fps', (5.,)), ('optim.lr', 1.), ('seed', 9)])
def test_a_changed_recipe_is_refused_by_its_field(tmp_path, config, field, value):
  saved(tmp_path, config, 3)
  config.update_from_flattened_dict({field: value})
  with pytest.raises(BadInput, match=f'another config .*{field}.*: use a new workdir'):
    checkpoint.write_config(tmp_path, config)


@pytest.mark.parametrize('field, value', [
    ('train.steps', 99), ('train.log_every', 7), ('checkpoint.every', 5), ('sample.steps', 3),
    ('data.threads', 9), ('data.source', 'elsewhere'), ('init_from', '')])
def test_what_does_not_change_the_result_may_change(tmp_path, config, field, value):
  saved(tmp_path, config, 3)
  config.update_from_flattened_dict({field: value})
  checkpoint.write_config(tmp_path, config)
  assert checkpoint.load_config(tmp_path).to_dict() == config.to_dict()


def test_what_may_change_is_said(tmp_path, config, capsys):
  saved(tmp_path, config, 3)
  config.train.steps, config.checkpoint.every = 99, 5
  checkpoint.write_config(tmp_path, config)
  assert capsys.readouterr().err.endswith('checkpoint.every 200 -> 5; train.steps 3 -> 99\n')


def test_the_number_of_steps_may_not_change_where_the_learning_rate_falls_to_zero(tmp_path, config):
  config.optim.decay = True
  saved(tmp_path, config, 3)
  config.train.steps = 99
  with pytest.raises(BadInput, match='train.steps 3 -> 99'):
    checkpoint.write_config(tmp_path, config)


def test_before_the_first_save_anything_may_change(tmp_path, config):
  """Or the remedy of a refusal (a smaller batch, say) would be refused in its turn."""
  saved(tmp_path, config)
  config.train.batch_size = 1
  checkpoint.write_config(tmp_path, config)
  assert checkpoint.load_config(tmp_path).train.batch_size == 1


def test_folders_that_are_no_checkpoints_are_refused(tmp_path, config):
  with pytest.raises(BadInput, match='is not a workdir'):
    checkpoint.load(tmp_path)
  saved(tmp_path, config)
  with pytest.raises(BadInput, match='no saved step'):
    checkpoint.load(tmp_path)


def test_a_workdir_in_a_file_is_refused(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(BadInput, match='cannot be written'):
    checkpoint.make_workdir(tmp_path / 'file' / 'workdir')


def test_a_bucket_is_no_workdir(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(BadInput, match='mount the bucket'):
    checkpoint.make_workdir('gs://bucket/run')
  assert not list(tmp_path.iterdir())
