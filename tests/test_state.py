"""The training step on an objective with a known gradient, and its program on a real one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import optim, state as state_lib, validate
from svdjax import tasks
from svdjax.core.params import select
from svdjax.core.rng import key_of
from svdjax.tasks import parts as parts_lib


def distance(config, parts, params, batch, key):
  """A convex objective: mean squared distance of a frozen multiple of w from the clips."""
  del config, parts, key
  each = jnp.square(params['frozen/scale'] * params['unet/w'][None] - batch['x']).mean(-1)
  return each.mean(), {'first': each[0], 'loss_by_sigma': {'all': (each.sum(), jnp.float32(4.))}}


def noisy(config, parts, params, batch, key):
  loss, metrics = distance(config, parts, params, batch, key)
  return loss + (jax.random.normal(key, (3,)) * params['unet/w']).sum(), metrics


@pytest.fixture
def config(nano, monkeypatch):
  monkeypatch.setitem(tasks.LOSSES, 'distance', distance)
  monkeypatch.setitem(tasks.LOSSES, 'noisy', noisy)
  return nano('image_discrete', {'task': 'distance', 'optim.warmup': 0, 'optim.lr': 0.1})


@pytest.fixture
def batch():
  return {'x': jax.random.normal(jax.random.key(0), (8, 3))}


PARAMS, FROZEN = {'unet/w': jnp.array([1., -1., 2.])}, {'frozen/scale': jnp.float32(2.)}


def run(config, batch, steps):
  step = jax.jit(state_lib.make_step(config, None))
  state, losses = state_lib.create(config, PARAMS), []
  for i in range(steps):
    state, metrics = step(state, FROZEN, batch, state_lib.numbers_at(config, i))
    losses.append(float(metrics['loss']))
  return state, losses


def assert_bitwise(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_gradients_are_of_what_is_trained_alone(config, batch):
  loss, metrics, grads = state_lib.gradients(config, None, PARAMS, FROZEN, batch, {}, None)
  assert grads.keys() == PARAMS.keys()
  error = 2. * PARAMS['unet/w'][None] - batch['x']
  assert float(loss) == pytest.approx(float(jnp.square(error).mean()), rel=1e-6)
  np.testing.assert_allclose(grads['unet/w'], 4. / 3 * error.mean(0), rtol=1e-5)
  assert float(metrics['first']) == pytest.approx(float(jnp.square(error[0]).mean()), rel=1e-6)


@pytest.mark.parametrize('pieces', [2, 4, 8])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(config, batch, pieces):
  whole = state_lib.gradients(config, None, PARAMS, FROZEN, batch, {}, jax.random.key(0))
  config.train.accumulate = pieces
  loss, metrics, grads = state_lib.gradients(
      config, None, PARAMS, FROZEN, batch, {}, jax.random.key(0))
  assert float(loss) == pytest.approx(float(whole[0]), rel=1e-6)
  np.testing.assert_allclose(grads['unet/w'], whole[2]['unet/w'], rtol=1e-5)
  total, count = metrics['loss_by_sigma']['all']  # sums stay sums
  assert (float(total), float(count)) == (pytest.approx(8 * float(loss), rel=1e-5), 4. * pieces)


def test_pieces_have_noise_of_their_own(config, batch):
  config.task, config.train.accumulate = 'noisy', 2
  key = jax.random.key(0)
  two = state_lib.gradients(config, None, PARAMS, FROZEN, batch, {}, key)[2]
  config.train.accumulate = 1
  one = state_lib.gradients(config, None, PARAMS, FROZEN, batch, {}, jax.random.fold_in(key, 0))[2]
  other = state_lib.gradients(
      config, None, PARAMS, FROZEN, batch, {}, jax.random.fold_in(key, 1))[2]
  np.testing.assert_allclose(two['unet/w'], (one['unet/w'] + other['unet/w']) / 2, rtol=1e-5)
  assert (one['unet/w'] != other['unet/w']).any()


def test_steps_reach_the_minimum(config, batch):
  state, losses = run(config, batch, 200)
  np.testing.assert_allclose(2. * state.params['unet/w'], batch['x'].mean(0), atol=0.05)
  assert losses[-1] < losses[0] and int(state.step) == 200


@pytest.mark.parametrize('task', ['distance', 'noisy'])
def test_the_same_steps_twice_are_bitwise_the_same(config, batch, task):
  config.task = task
  assert_bitwise(run(config, batch, 5), run(config, batch, 5))


def test_the_noise_of_a_step_is_that_of_its_seed_and_number(config, batch):
  config.task, config.optim.lr = 'noisy', 0.
  _, losses = run(config, batch, 3)
  assert len(set(losses)) == 3
  config.seed = 1
  assert run(config, batch, 3)[1][0] != losses[0]


def test_the_average_follows_the_parameters(config, batch):
  state = state_lib.create(config, PARAMS)
  step = state_lib.make_step(config, None)
  new, metrics = step(state, FROZEN, batch, state_lib.numbers_at(config, 0))
  decay = float(optim.ema_decay(config.train.ema, 0))
  expected = decay * PARAMS['unet/w'] + (1 - decay) * new.params['unet/w']
  np.testing.assert_allclose(new.ema['unet/w'], expected, rtol=1e-6)
  assert float(metrics['lr']) == pytest.approx(0.1)


def broken_at_leaf(config, parts, params, batch, key):
  """A finite loss with a gradient of one leaf that is not."""
  loss, metrics = distance(config, parts, params, batch, key)
  return loss + jnp.sqrt(jnp.square(params['unet/b'] * batch['x'][0, 0])).sum(), metrics


@pytest.mark.parametrize('task, value', [
    ('distance', np.nan), ('distance', np.inf), ('broken_at_leaf', 0.)])
def test_a_step_that_is_not_finite_changes_nothing_but_its_number(
    config, batch, monkeypatch, task, value):
  """In the loss, or in one leaf of the gradient alone (of a square root at 0)."""
  monkeypatch.setitem(tasks.LOSSES, 'broken_at_leaf', broken_at_leaf)
  config.task = task
  step = jax.jit(state_lib.make_step(config, None))
  numbers = state_lib.numbers_at(config, 0)
  params = PARAMS | {'unet/b': jnp.ones(2)}
  before, metrics = step(state_lib.create(config, params), FROZEN, batch, numbers)
  assert not metrics['skipped']
  spoilt = {'x': batch['x'].at[0, 0].set(value)}
  after, metrics = step(before, FROZEN, spoilt, numbers)
  assert metrics['skipped'] and np.isfinite(metrics['loss']) == (task == 'broken_at_leaf')
  assert_bitwise(after, before._replace(step=before.step + 1))
  again, metrics = step(after, FROZEN, batch, numbers)
  assert not metrics['skipped'] and (again.params['unet/w'] != before.params['unet/w']).any()


@pytest.mark.parametrize('name', ['video_pretrain,low', 'i2v_14f,base'])
def test_a_stage_is_compiled_once(nano, name):
  """What a step returns has exactly the types that it takes, weak ones included."""
  config = nano(name)
  parts = parts_lib.build(config.model)
  params = parts.init(lambda n: key_of(0, n), ['unet'])
  frozen = select(parts.shapes, ('unet/.*',))[1]
  state = state_lib.create(config, params)
  after, _ = jax.eval_shape(state_lib.make_step(config, parts), state, frozen,
                            validate.abstract_batch(config), state_lib.numbers_at(config, 0))
  kind = lambda x: (x.shape, str(x.dtype), x.weak_type)
  assert jax.tree.map(kind, after) == jax.tree.map(kind, state)
