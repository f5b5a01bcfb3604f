"""The transformer layers both towers of CLIP are made of, with CLIP's initialisation."""

from einops import rearrange
from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.models import nn


def normal(shape, std, rngs):
  """A parameter drawn from N(0, std²), fp32."""
  return nnx.Param(nn.normal(rngs.params(), shape, std))


def linear(i, o, std, bias=True, *, rngs):
  """nn.Linear with CLIP's initialisation: kernel N(0, std²), bias zero."""
  layer = nn.Linear(i, o, bias, zero=True, rngs=rngs)
  layer.kernel = normal((i, o), std, rngs)
  return layer


def quick_gelu(x):
  """x sigmoid(1.702 x) in fp32, the GELU of OpenAI's CLIP; dtype as x."""
  wide = x.astype(jnp.float32)
  return (wide * jax.nn.sigmoid(1.702 * wide)).astype(x.dtype)


ACTIVATIONS = {'gelu': nn.gelu, 'quick_gelu': quick_gelu}


class Embedding(nnx.Module):
  """A table of `count` vectors; int [...] -> [... width], NaN for ids beyond the table."""

  def __init__(self, count, width, std, *, rngs):
    self.embedding = normal((count, width), std, rngs)

  def __call__(self, ids, dtype):
    return jnp.take(self.embedding[...], ids, axis=0).astype(dtype)


class Positions(nnx.Module):
  """Adds a learned vector to each of `count` positions: [b n c] -> [b n c]."""

  def __init__(self, count, width, std, *, rngs):
    self.embedding = normal((count, width), std, rngs)

  def __call__(self, x):
    return x + self.embedding[...].astype(x.dtype)[None]


class Attention(nnx.Module):
  """Multi-head self-attention over n: [b n c] -> [b n c]."""

  def __init__(self, width, heads, layers, *, rngs):
    std = width ** -0.5
    self.q_proj = linear(width, width, std, rngs=rngs)
    self.k_proj = linear(width, width, std, rngs=rngs)
    self.v_proj = linear(width, width, std, rngs=rngs)
    self.out_proj = linear(width, width, std * (2 * layers) ** -0.5, rngs=rngs)
    self.heads = heads

  def __call__(self, x, causal):
    split = lambda y: rearrange(y, 'b n (h d) -> b n h d', h=self.heads)
    q, k, v = split(self.q_proj(x)), split(self.k_proj(x)), split(self.v_proj(x))
    scores = jnp.einsum('bnhd,bmhd->bhnm', q, k, preferred_element_type=jnp.float32)
    scores = scores * q.shape[-1] ** -0.5
    if causal:
      past = jnp.tril(jnp.ones(scores.shape[2:], bool))
      scores = jnp.where(rearrange(past, 'n m -> 1 1 n m'), scores, -jnp.inf)
    weights = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
    y = jnp.einsum('bhnm,bmhd->bnhd', weights, v)
    return self.out_proj(rearrange(y, 'b n h d -> b n (h d)'))


class MLP(nnx.Module):
  """Linear, the function ACTIVATIONS[act], Linear: [... c] -> [... c]."""

  def __init__(self, width, hidden, layers, act, *, rngs):
    self.fc1 = linear(width, hidden, (2 * width) ** -0.5, rngs=rngs)
    self.fc2 = linear(hidden, width, (2 * width * layers) ** -0.5, rngs=rngs)
    self.act = act

  def __call__(self, x):
    return self.fc2(ACTIVATIONS[self.act](self.fc1(x)))


class Layer(nnx.Module):
  """A pre-norm transformer layer: [b n c] -> [b n c]."""

  def __init__(self, config, *, rngs):
    self.layer_norm1 = nn.LayerNorm(config.width, rngs=rngs)
    self.self_attn = Attention(config.width, config.heads, config.layers, rngs=rngs)
    self.layer_norm2 = nn.LayerNorm(config.width, rngs=rngs)
    self.mlp = MLP(config.width, config.mlp, config.layers, config.act, rngs=rngs)

  def __call__(self, x, causal):
    with jax.named_scope('attention'):
      x = x + self.self_attn(self.layer_norm1(x), causal)
    with jax.named_scope('mlp'):
      return x + self.mlp(self.layer_norm2(x))


class Encoder(nnx.Module):
  """The layers of a tower, stacked, scanned over and rematerialised: [b n c] -> [b n c]."""

  def __init__(self, config, *, rngs):
    layers = [Layer(config, rngs=rngs) for _ in range(config.layers)]
    self.layers = jax.tree.map(lambda *x: jnp.stack(x), *layers)

  def __call__(self, x, causal):
    step = jax.checkpoint(lambda x, layer: (layer(x, causal), None), prevent_cse=False)
    return jax.lax.scan(step, x, self.layers)[0]


class Patches(nnx.Module):
  """Non-overlapping patches through one linear map without bias: [b h w c] -> [b n width]."""

  def __init__(self, patch, width, *, rngs):
    self.kernel = nnx.Param(nn.uniform(rngs.params(), (patch, patch, 3, width), 3 * patch ** 2))

  def __call__(self, images):
    p = self.kernel.shape[0]
    x = rearrange(images, 'b (y p) (x q) c -> b (y x) (p q c)', p=p, q=p)
    return x @ rearrange(self.kernel[...].astype(x.dtype), 'p q c d -> (p q c) d')
