"""Learning rate, update and moving average against their formulas."""

import hypothesis
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from svdjax import optim

some = hypothesis.settings(max_examples=20, deadline=None)


@pytest.fixture
def recipe(nano):
  c = nano('image_discrete').optim
  c.update(lr=1e-2, warmup=10, decay=False)
  return c


def rates(recipe, steps, at):
  schedule = optim.learning_rate(recipe, steps)
  return np.array([schedule(step) for step in at])


def test_warm_up_is_linear_then_the_rate_is_constant(recipe):
  np.testing.assert_allclose(rates(recipe, 100, [0, 1, 5, 10, 50, 10_000]),
                             [0, 1e-3, 5e-3, 1e-2, 1e-2, 1e-2], rtol=1e-6)


def test_decay_is_a_cosine_from_the_warm_up_to_zero(recipe):
  recipe.decay = True
  np.testing.assert_allclose(rates(recipe, 110, [0, 10, 35, 60, 110]),
                             [0, 1e-2, 1e-2 * (1 + 0.5 ** 0.5) / 2, 5e-3, 0], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('decay', [False, True])
def test_without_warm_up_the_first_step_has_the_full_rate(recipe, decay):
  recipe.update(warmup=0, decay=decay)
  assert rates(recipe, 100, [0])[0] == pytest.approx(1e-2)


@pytest.mark.parametrize('steps', [1, 5])
def test_a_run_shorter_than_its_warm_up_has_finite_rates(recipe, steps):
  recipe.decay = True
  assert np.isfinite(rates(recipe, steps, range(steps + 1))).all()


def test_the_update_is_adamw_after_clipping(recipe):
  params, grads = {'w': jnp.array([1., -2., 3.])}, {'w': jnp.array([30., 0., -40.])}
  reference = optax.adamw(1e-2, b1=recipe.b1, b2=recipe.b2, weight_decay=recipe.weight_decay)
  clipped = {'w': grads['w'] / 50.}
  expected, _ = reference.update(clipped, reference.init(params), params)
  transform = optim.optimizer(recipe)
  got, _ = transform.update(grads, transform.init(params), params)
  np.testing.assert_allclose(-1e-2 * got['w'], expected['w'], rtol=1e-6)


@some
@hypothesis.given(st.integers(0, 10 ** 6), st.floats(0.5, 0.9999))
def test_the_moving_average_warms_up_to_its_decay(step, ema):
  now, later = (float(optim.ema_decay(ema, s)) for s in (step, step + 1))
  assert now == pytest.approx(min(ema, (1 + step) / (10 + step)), rel=1e-5)
  assert now <= later <= ema * (1 + 1e-6)
