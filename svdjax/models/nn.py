"""Basic layers and the step from a flax.nnx module to pure functions over a flat dict.

Layers compute in the dtype of their input; parameters stay in their own dtype and are cast where
they are used. Norms accumulate in fp32. Initialisation follows PyTorch's defaults, as SVD does.
"""

import itertools
from typing import Callable, NamedTuple

from flax import nnx
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from svdjax.core import mesh


def gelu(x):
  """x Φ(x), Gaussian Error Linear Units, eq. 1, by erf in fp32 as PyTorch's F.gelu; dtype as x."""
  wide = x.astype(jnp.float32)
  return (wide * (0.5 + 0.5 * lax.erf(wide * np.float32(np.sqrt(0.5))))).astype(x.dtype)


class Keys:
  """A stream of random generators for the layers of a network, one for each tensor.

  Numbers are drawn with numpy on the host: compiling one sampler per tensor shape, or one program
  for all of a large network, takes minutes where this takes seconds.

  Args:
    key: jax random key; None when shapes alone are wanted, and every tensor is zero.
  """

  def __init__(self, key):
    self.seed = None if key is None else np.asarray(jax.random.key_data(key)).tolist()
    self.count = itertools.count()

  def params(self):
    return None if self.seed is None else np.random.default_rng((*self.seed, next(self.count)))


class Functional(NamedTuple):
  """A network as data and pure functions.

  Attributes:
    shapes: {name: ShapeDtypeStruct}, names being the module's attribute path joined by '/'.
    init: key -> {name: array}.
    apply: ({name: array}, *args) -> output of the module called with *args.
  """
  shapes: dict[str, jax.ShapeDtypeStruct]
  init: Callable
  apply: Callable


def functional(make):
  """Turns a module constructor into pure functions over a flat {name: array}.

  Args:
    make: Keys -> nnx.Module.

  Returns:
    A Functional; its `apply` raises ValueError for missing, unexpected or misshapen parameters
    (nnx.merge alone would match leaves by order and accept a renamed tree in silence).
  """
  graph, state = nnx.split(nnx.eval_shape(lambda: make(Keys(None))), nnx.Param)
  leaves = [('/'.join(map(str, path)), path, p.shape, p.dtype)
            for path, p in nnx.to_flat_state(state)]
  paths = {name: path for name, path, _, _ in leaves}
  shapes = {name: jax.ShapeDtypeStruct(shape, dtype) for name, _, shape, dtype in leaves}
  want = {name: s.shape for name, s in shapes.items()}

  def init(key):
    flat = nnx.to_flat_state(nnx.state(make(Keys(key)), nnx.Param))
    return {name: p[...] for name, (_, p) in zip(paths, flat)}

  def apply(params, *args, **kwargs):
    got = {name: x.shape for name, x in params.items()}
    if wrong := sorted({name for name, _ in got.items() ^ want.items()}):
      raise ValueError(f'parameters missing, unexpected or misshapen: {", ".join(wrong[:6])}')
    leaves = [(path, nnx.Param(params[name])) for name, path in paths.items()]
    return nnx.merge(graph, nnx.from_flat_state(leaves))(*args, **kwargs)

  return Functional(shapes, init, apply)


def uniform(generator, shape, fan_in):
  """PyTorch's default for weights and biases, U(±1/√fan_in), fp32; zeros without a generator."""
  if generator is None:
    return jnp.zeros(shape)
  bound = fan_in ** -0.5
  return jnp.asarray(generator.uniform(-bound, bound, shape), jnp.float32)


def normal(generator, shape, std):
  """N(0, std²), fp32; zeros without a generator."""
  return jnp.zeros(shape) if generator is None else jnp.asarray(
      std * generator.standard_normal(shape), jnp.float32)


def along_last(vector, x):
  """A [c] vector in x's dtype with x's rank, so that broadcasting is explicit."""
  return vector.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


class Linear(nnx.Module):
  """[... i] -> [... o]; kernel (i, o)."""

  def __init__(self, i, o, bias=True, zero=False, *, rngs):
    draw = (lambda shape: jnp.zeros(shape)) if zero else (
        lambda shape: uniform(rngs.params(), shape, i))
    self.kernel = nnx.Param(draw((i, o)))
    self.bias = nnx.Param(draw((o,))) if bias else None

  def __call__(self, x):
    # One row a position: XLA's CPU gradient of a product over several axes is up to 3 times slower.
    y = x.reshape(-1, x.shape[-1]) @ mesh.weight(self.kernel[...], x.dtype)
    y = y if self.bias is None else y + along_last(self.bias[...], y)
    return y.reshape(x.shape[:-1] + y.shape[-1:])


class Conv(nnx.Module):
  """[n h w i] -> [n h' w' o]; kernel (k, k, i, o), PyTorch's symmetric padding k//2 by default."""

  def __init__(self, i, o, size=3, stride=1, padding=None, zero=False, *, rngs):
    draw = (lambda shape: jnp.zeros(shape)) if zero else (
        lambda shape: uniform(rngs.params(), shape, i * size * size))
    self.kernel, self.bias = nnx.Param(draw((size, size, i, o))), nnx.Param(draw((o,)))
    self.stride = stride
    self.padding = ((size // 2, size // 2),) * 2 if padding is None else padding

  def __call__(self, x):
    y = lax.conv_general_dilated(
        x, mesh.weight(self.kernel[...], x.dtype), (self.stride,) * 2, self.padding,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    return y + along_last(self.bias[...], y)


class TemporalConv(nnx.Module):
  """[b t s i] -> [b t s o], a 3-tap convolution over t at each position s; kernel (3, i, o).

  The (3, 1, 1) Conv3d of PyTorch, zero padded in time.
  """

  def __init__(self, i, o, zero=False, *, rngs):
    draw = (lambda shape: jnp.zeros(shape)) if zero else (
        lambda shape: uniform(rngs.params(), shape, i * 3))
    self.kernel, self.bias = nnx.Param(draw((3, i, o))), nnx.Param(draw((o,)))

  def __call__(self, x):
    y = lax.conv_general_dilated(
        x, mesh.weight(self.kernel[...], x.dtype)[:, None], (1, 1), ((1, 1), (0, 0)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    return y + along_last(self.bias[...], y)


class GroupNorm(nnx.Module):
  """[n ... c] -> the same, normalised over all axes but n within each group of channels.

  Given [(b t) h w c] frames are independent; given [b t h w c] statistics are joint over t, as in
  SVD's temporal blocks. fp32 statistics, folded into one scale and one shift. `average` joins
  statistics [n ...] of entries that are parts of one clip (core/split).
  """

  def __init__(self, channels, eps, groups=32, *, rngs):
    del rngs
    self.scale, self.bias = nnx.Param(jnp.ones(channels)), nnx.Param(jnp.zeros(channels))
    self.eps, self.groups = eps, groups

  def __call__(self, x, average=lambda a: a):
    n, c = x.shape[0], x.shape[-1]
    flat = x.astype(jnp.float32).reshape(n, -1, c)
    # Channels first, then groups: reductions along one axis of memory. The variance of a group is
    # the mean variance of its channels plus the variance of their means.
    mean = average(flat.mean(1, keepdims=True))
    variance = average(jnp.square(flat - mean).mean(1))
    of_group = lambda a: a.reshape(n, self.groups, c // self.groups)
    to_channels = lambda a: jnp.broadcast_to(
        a, (n, self.groups, c // self.groups)).reshape(n, c)
    channel_mean = of_group(mean)
    group_mean = channel_mean.mean(-1, keepdims=True)
    spread = of_group(variance) + jnp.square(channel_mean - group_mean)
    scale = to_channels(lax.rsqrt(spread.mean(-1, keepdims=True) + self.eps))
    scale = scale * self.scale[...][None]
    shift = self.bias[...][None] - to_channels(group_mean) * scale
    return (flat * scale[:, None] + shift[:, None]).reshape(x.shape).astype(x.dtype)


class LayerNorm(nnx.Module):
  """[... c] -> the same, normalised over c in fp32."""

  def __init__(self, channels, eps=1e-5, *, rngs):
    del rngs
    self.scale, self.bias = nnx.Param(jnp.ones(channels)), nnx.Param(jnp.zeros(channels))
    self.eps = eps

  def __call__(self, x):
    x32 = x.astype(jnp.float32)
    centred = x32 - x32.mean(-1, keepdims=True)
    y = centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.eps)
    y = y * along_last(self.scale[...], y) + along_last(self.bias[...], y)
    return y.astype(x.dtype)


def sinusoid(t, dim, max_period=10000.):
  """Fourier features [cos ‖ sin] of a scalar: [...] -> [... dim], fp32 (SVD eq. of time embedding).

  Frequencies are max_period^(-k/(dim/2)) for k = 0 … dim/2 - 1.
  """
  half = dim // 2
  frequencies = jnp.exp(-jnp.log(max_period) * jnp.arange(half, dtype=jnp.float32) / half)
  angles = t.astype(jnp.float32)[..., None] * frequencies.reshape((1,) * t.ndim + (half,))
  return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class MLPEmbedding(nnx.Module):
  """Linear, silu, Linear: [... i] -> [... o]; names as diffusers' TimestepEmbedding."""

  def __init__(self, i, hidden, o, zero=False, *, rngs):
    self.linear_1 = Linear(i, hidden, rngs=rngs)
    self.linear_2 = Linear(hidden, o, zero=zero, rngs=rngs)

  def __call__(self, x):
    return self.linear_2(jax.nn.silu(self.linear_1(x)))
