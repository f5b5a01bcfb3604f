"""Low-rank factors as parameters."""

import jax
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.models import lora, unet

SHAPES = {f'unet/{n}': s for n, s in unet.build(unet.UNetConfig(
    channels=(8,), attention=(True,), blocks=1, head_dim=4, context_dim=6, vector_dim=4,
    groups=4)).shapes.items()}


def random(names, seed=0):
  rng = np.random.default_rng(seed)
  return {n: rng.standard_normal(s.shape).astype(np.float32) for n, s in names.items()}


def test_fresh_factors_change_nothing():
  params = random(SHAPES)
  factors = lora.init(SHAPES, (lora.ATTENTION,), 2, jax.random.key(0))
  merged = lora.merge(params, factors, 1.)
  assert all((merged[n] == x).all() for n, x in params.items())
  assert all((factors[f'{n}/a'] != 0).any() for n in lora.names(factors))


def test_the_patterns_take_attention_alone():
  everywhere = lora.names(lora.init(SHAPES, (lora.ATTENTION,), 2, jax.random.key(0)))
  between = lora.names(lora.init(SHAPES, (lora.TEMPORAL_ATTENTION,), 2, jax.random.key(0)))
  # Four transformers (one down, one in the middle, two up), two attentions, four projections.
  assert (len(everywhere), len(between)) == (4 * 2 * 2 * 4, 4 * 2 * 4)
  assert set(between) < set(everywhere) and all('temporal' in n for n in between)


def test_merging_adds_the_scaled_product_and_leaves_the_rest():
  params = random(SHAPES)
  factors = lora.init(SHAPES, (lora.TEMPORAL_ATTENTION,), 3, jax.random.key(0))
  factors = {n: np.asarray(x) + 0.5 for n, x in factors.items()}
  name = lora.names(factors)[0]
  half = lora.merge(params, factors, dict.fromkeys(lora.names(factors), 0.5))
  np.testing.assert_allclose(
      half[name], params[name] + 0.5 * factors[f'{name}/a'] @ factors[f'{name}/b'], rtol=1e-5)
  untouched = params.keys() - set(lora.names(factors))
  assert all(half[n] is params[n] for n in untouched)


@pytest.mark.parametrize('patterns, rank, message', [
    ((lora.ATTENTION,), 0, 'rank must be at least 1'), (('unet/none',), 2, 'no kernel'),
    (('unet/conv_in/kernel',), 2, 'no kernel of a linear layer')])
def test_what_cannot_be_adapted(patterns, rank, message):
  with pytest.raises(BadInput, match=message):
    lora.init(SHAPES, patterns, rank, jax.random.key(0))


def test_factors_of_another_model_are_refused():
  factors = lora.init(SHAPES, (lora.ATTENTION,), 2, jax.random.key(0))
  name = lora.names(factors)[0]
  with pytest.raises(BadInput, match='which is missing'):
    lora.merge({}, factors, 1.)
  with pytest.raises(BadInput, match=r'which is \(2, 2\) in this checkpoint'):
    lora.merge(random(SHAPES) | {name: np.zeros((2, 2))}, factors, 1.)
