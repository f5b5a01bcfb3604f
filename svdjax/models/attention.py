"""Attention and the GEGLU feed-forward of SVD's transformers."""

from einops import rearrange
from flax import nnx
import jax
from jax import lax
import jax.numpy as jnp

from svdjax.models.nn import Linear, gelu

QUERY_CHUNK = 512  # queries at once: what bounds memory, and on CPU stays in cache
SMALLEST_CHUNK = 64  # a length without a divisor from here on is taken whole


def attend(q, k, v):
  """Softmax attention of [n q h d] on [n k h d] -> [n q h d]; softmax in fp32.

  Attention Is All You Need, eq. 1. Queries beyond QUERY_CHUNK are processed in chunks whose weights
  are computed again for gradients, so that memory is linear in the number of queries.
  """
  chunk = _chunk(q.shape[1])
  if chunk == q.shape[1]:
    return _attend(q, k, v)
  chunks = rearrange(q, 'n (c q) h d -> c n q h d', q=chunk)
  one = jax.checkpoint(lambda q: _attend(q, k, v))
  return rearrange(lax.map(one, chunks), 'c n q h d -> n (c q) h d')


def _chunk(length):
  """The largest divisor of a number of queries up to QUERY_CHUNK."""
  largest = min(length, QUERY_CHUNK)
  return next((c for c in range(largest, SMALLEST_CHUNK - 1, -1) if length % c == 0), length)


def _attend(q, k, v):
  scores = jnp.einsum('nqhd,nkhd->nhqk', q * q.shape[-1] ** -0.5, k)
  weights = jax.nn.softmax(scores.astype(jnp.float32), axis=-1).astype(v.dtype)
  return jnp.einsum('nhqk,nkhd->nqhd', weights, v)


def attend_over_time(q, k, v):
  """Softmax attention over t at every position: [b t s h d] -> [b t s h d], without transposes."""
  scores = jnp.einsum('bqshd,bkshd->bshqk', q * q.shape[-1] ** -0.5, k)
  weights = jax.nn.softmax(scores.astype(jnp.float32), axis=-1).astype(v.dtype)
  return jnp.einsum('bshqk,bkshd->bqshd', weights, v)


class Attention(nnx.Module):
  """Multi-head attention; names as diffusers (to_q, to_k, to_v without bias, to_out/0 with)."""

  def __init__(self, dim, head_dim, context_dim=None, zero=False, *, rngs):
    context_dim = context_dim or dim
    self.head_dim = head_dim
    self.to_q = Linear(dim, dim, bias=False, rngs=rngs)
    self.to_k = Linear(context_dim, dim, bias=False, rngs=rngs)
    self.to_v = Linear(context_dim, dim, bias=False, rngs=rngs)
    self.to_out = nnx.List([Linear(dim, dim, zero=zero, rngs=rngs)])

  def _heads(self, x):
    return rearrange(x, '... (h d) -> ... h d', d=self.head_dim)

  def __call__(self, x, context=None):  # n q c, n k e
    """[n q c] attending to itself or to [n k e]. One token needs no softmax: it is its value."""
    context = x if context is None else context.astype(x.dtype)
    v = self.to_v(context)
    if context.shape[1] == 1:
      return jnp.broadcast_to(self.to_out[0](v), x.shape)
    y = attend(self._heads(self.to_q(x)), self._heads(self.to_k(context)), self._heads(v))
    return self.to_out[0](rearrange(y, '... h d -> ... (h d)'))

  def over_time(self, x):  # b t s c
    """Self-attention over t at every position s: [b t s c] -> [b t s c]."""
    y = attend_over_time(*(self._heads(f(x)) for f in (self.to_q, self.to_k, self.to_v)))
    return self.to_out[0](rearrange(y, '... h d -> ... (h d)'))


@jax.checkpoint  # cheaper to compute again than to keep: two of the four widest arrays of a layer
def _geglu(x):
  """GLU Variants Improve Transformer, eq. 6, of [... value ‖ gate]."""
  value, gate = jnp.split(x, 2, axis=-1)
  return value * gelu(gate)


class _Gate(nnx.Module):
  """The projection of a GEGLU; split [value ‖ gate]."""

  def __init__(self, dim, hidden, *, rngs):
    self.proj = Linear(dim, 2 * hidden, rngs=rngs)

  def __call__(self, x):
    return _geglu(self.proj(x))


class FeedForward(nnx.Module):
  """GEGLU feed-forward [... c] -> [... c], hidden 4c; names net/0/proj and net/2 as diffusers."""

  def __init__(self, dim, zero=False, *, rngs):
    self.net = nnx.Dict({'0': _Gate(dim, 4 * dim, rngs=rngs),
                         '2': Linear(4 * dim, dim, zero=zero, rngs=rngs)})

  def __call__(self, x):
    return self.net['2'](self.net['0'](x))
