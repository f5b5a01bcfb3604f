import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.models import attention
from svdjax.models import nn


def normal(*shape, seed=0):
  return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def reference(q, k, v):
  """Softmax attention of [n q h d] on [n k h d], in fp64 with numpy alone."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  scores = np.einsum('nqhd,nkhd->nhqk', q, k) / np.sqrt(q.shape[-1])
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  return np.einsum('nhqk,nkhd->nqhd', weights / weights.sum(-1, keepdims=True), v)


@pytest.mark.parametrize('run', [lambda f: f, jax.jit], ids=['eager', 'compiled'])
@pytest.mark.parametrize('queries, keys', [(7, 7), (5, 2), (24, 9)])
def test_attention_is_softmax_attention(monkeypatch, run, queries, keys):
  monkeypatch.setattr(attention, 'QUERY_CHUNK', 8)  # 24 queries go in three pieces
  monkeypatch.setattr(attention, 'SMALLEST_CHUNK', 2)
  q, k, v = normal(2, queries, 3, 4), normal(2, keys, 3, 4, seed=1), normal(2, keys, 3, 4, seed=2)
  np.testing.assert_allclose(run(attention.attend)(q, k, v), reference(q, k, v), atol=1e-5)


@pytest.mark.parametrize('n', [1024, 2304, 2880, 9216])  # SVD's levels at its two resolutions
def test_no_array_of_queries_by_keys_is_made_nor_kept_for_gradients(n):
  shape = jax.ShapeDtypeStruct((1, n, 1, 4), jnp.float32)
  total = lambda *qkv: attention.attend(*qkv).sum()
  for function in (attention.attend, jax.grad(total, (0, 1, 2))):
    shapes = re.findall(r'f32\[([\d,]+)\]', str(jax.make_jaxpr(function)(shape, shape, shape)))
    assert max(np.prod([int(x) for x in s.split(',')]) for s in shapes) <= 512 * n


def test_long_sequences_are_processed_in_pieces():
  n = 2 * attention.QUERY_CHUNK
  q, k, v = (normal(1, n, 1, 4, seed=i) for i in range(3))
  np.testing.assert_allclose(jax.jit(attention.attend)(q, k, v), reference(q, k, v), atol=1e-5)


def test_attention_over_time_is_attention_at_each_position():
  q, k, v = (normal(2, 5, 3, 2, 4, seed=i) for i in range(3))  # b t s h d
  got = jax.jit(attention.attend_over_time)(q, k, v)
  for s in range(3):
    at = lambda x: x[:, :, s]
    np.testing.assert_allclose(at(got), reference(at(q), at(k), at(v)), atol=1e-5)


@pytest.mark.parametrize('attend, shape', [
    (attention.attend, (1, 6, 2, 4)), (attention.attend_over_time, (1, 6, 3, 2, 4))])
def test_the_softmax_of_bfloat16_is_in_fp32(attend, shape):
  x = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
  assert jax.eval_shape(attend, x, x, x).dtype == jnp.bfloat16
  assert re.findall(r'(\w+)\[\S* = exp ', str(jax.make_jaxpr(attend)(x, x, x))) == ['f32']


def scrambled(net):
  return {n: normal(*s.shape, seed=i) * s.shape[0] ** -0.5
          for i, (n, s) in enumerate(net.shapes.items())}


@pytest.fixture(scope='module')
def cross():
  """Cross-attention of width 8 in two heads, to tokens of width 6."""
  net = nn.functional(lambda rngs: attention.Attention(8, 4, 6, rngs=rngs))
  return net, scrambled(net)


def heads(x):
  return np.asarray(x).reshape(*x.shape[:-1], -1, 4)


def test_cross_attention_is_projections_around_attention(cross):
  net, params = cross
  assert set(params) == {'to_q/kernel', 'to_k/kernel', 'to_v/kernel', 'to_out/0/kernel',
                         'to_out/0/bias'}
  x, context = normal(2, 5, 8), normal(2, 3, 6, seed=9)
  y = reference(heads(x @ params['to_q/kernel']), *(
      heads(context @ params[f'to_{n}/kernel']) for n in 'kv'))
  want = y.reshape(2, 5, 8) @ np.asarray(params['to_out/0/kernel']) + np.asarray(
      params['to_out/0/bias'])
  np.testing.assert_allclose(net.apply(params, x, context), want, atol=1e-5)


def test_attending_to_one_token_is_that_tokens_value(cross):
  net, params = cross
  x, token = normal(2, 5, 8), normal(2, 1, 6, seed=9)
  twice = jnp.concatenate([token, token], axis=1)  # goes through the softmax
  np.testing.assert_allclose(net.apply(params, x, token), net.apply(params, x, twice), atol=1e-5)


def test_self_attention_over_time_shares_its_weights_with_self_attention():
  net = nn.functional(lambda rngs: attention.Attention(8, 4, rngs=rngs))
  over_time = nn.functional(lambda rngs: _OverTime(8, 4, rngs=rngs))
  params, x = scrambled(net), normal(2, 5, 3, 8)
  got = over_time.apply(params, x)
  for s in range(3):
    np.testing.assert_allclose(got[:, :, s], net.apply(params, x[:, :, s]), atol=1e-5)


class _OverTime(attention.Attention):

  def __call__(self, x):
    return self.over_time(x)


def test_the_feed_forward_gates_its_first_half_with_its_second():
  net = nn.functional(lambda rngs: attention.FeedForward(4, rngs=rngs))
  params, x = scrambled(net), normal(3, 4)
  assert params['net/0/proj/kernel'].shape == (4, 32) and params['net/2/kernel'].shape == (16, 4)
  hidden = np.asarray(x @ params['net/0/proj/kernel'], np.float64) + np.asarray(
      params['net/0/proj/bias'])
  value, gate = np.split(hidden, 2, axis=-1)
  # The exact GELU: the tanh form differs by up to 5e-4.
  gelu = gate * np.asarray(jax.scipy.stats.norm.cdf(gate))
  want = (value * gelu) @ np.asarray(params['net/2/kernel']) + np.asarray(params['net/2/bias'])
  np.testing.assert_allclose(net.apply(params, x), want, atol=2e-5)
