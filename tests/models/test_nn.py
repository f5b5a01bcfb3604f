import math
import subprocess
import sys

from flax import nnx
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.models import nn


def normal(*shape, seed=0):
  return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def layer(make, **params):
  """A layer as a pure function, with some of its parameters replaced."""
  net = nn.functional(lambda rngs: make(rngs))
  return lambda x: net.apply(net.init(jax.random.key(0)) | params, x)


def normalised(x, axes, eps):
  mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
  return (x - mean) / np.sqrt(variance + eps)


@pytest.mark.parametrize('shape', [(6, 4, 5, 8), (2, 3, 4, 5, 8), (2, 3, 20, 8)])
def test_group_norm_takes_statistics_over_all_axes_but_the_first(shape):
  x, scale, bias = normal(*shape) + 3., normal(8, seed=1), normal(8, seed=2)
  norm = layer(lambda rngs: nn.GroupNorm(8, 1e-5, groups=4, rngs=rngs), scale=scale, bias=bias)
  grouped = np.asarray(x, np.float64).reshape(shape[0], -1, 4, 2)
  want = normalised(grouped, (1, 3), 1e-5).reshape(shape) * np.asarray(scale) + np.asarray(bias)
  np.testing.assert_allclose(norm(x), want, atol=1e-5)


def test_statistics_of_a_clip_are_joint_and_those_of_its_frames_are_not():
  norm = layer(lambda rngs: nn.GroupNorm(8, 1e-5, groups=4, rngs=rngs))
  clips = normal(2, 3, 4, 5, 8)
  frames = norm(clips.reshape(6, 4, 5, 8)).reshape(clips.shape)
  louder = clips.at[:, 1:].multiply(9.)
  unmoved = norm(louder.reshape(6, 4, 5, 8)).reshape(clips.shape)
  np.testing.assert_allclose(unmoved[:, 0], frames[:, 0], atol=1e-6)
  assert jnp.abs(norm(louder) - norm(clips))[:, 0].max() > 0.5


def test_the_epsilon_of_a_group_norm_counts():
  x = 1e-3 * normal(2, 16, 8)
  norm = lambda eps: layer(lambda rngs: nn.GroupNorm(8, eps, groups=4, rngs=rngs))(x)
  want = normalised(np.asarray(x).reshape(2, 16, 4, 2), (1, 3), 1e-5).reshape(x.shape)
  np.testing.assert_allclose(norm(1e-5), want, atol=1e-5)
  assert jnp.abs(norm(1e-5) - norm(1e-6)).max() > 0.5


def test_layer_norm_is_over_channels():
  x, scale, bias = normal(2, 3, 8) + 3., normal(8, seed=1), normal(8, seed=2)
  norm = layer(lambda rngs: nn.LayerNorm(8, rngs=rngs), scale=scale, bias=bias)
  want = normalised(np.asarray(x), -1, 1e-5) * np.asarray(scale) + np.asarray(bias)
  np.testing.assert_allclose(norm(x), want, atol=1e-5)


@pytest.mark.parametrize('make', [
    lambda rngs: nn.GroupNorm(8, 1e-5, groups=4, rngs=rngs),
    lambda rngs: nn.LayerNorm(8, rngs=rngs)])
def test_norms_of_bfloat16_are_computed_in_fp32(make):
  x = (normal(2, 64, 8) + 100.).astype(jnp.bfloat16)
  low, fp32 = layer(make)(x), layer(make)(x.astype(jnp.float32))
  assert low.dtype == jnp.bfloat16
  np.testing.assert_allclose(low.astype(jnp.float32), fp32, atol=0.02)


@pytest.mark.parametrize('frames', [1, 2, 5])
def test_a_temporal_convolution_has_three_taps_and_zeros_outside(frames):
  kernel, bias, x = normal(3, 4, 2), normal(2, seed=1), normal(2, frames, 6, 4, seed=2)
  conv = layer(lambda rngs: nn.TemporalConv(4, 2, rngs=rngs), kernel=kernel, bias=bias)
  padded = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
  want = sum(padded[:, i:i + frames] @ np.asarray(kernel[i]) for i in range(3)) + np.asarray(bias)
  np.testing.assert_allclose(conv(x), want, atol=1e-5)


@pytest.mark.parametrize('stride, out', [(1, (5, 6)), (2, (3, 3))])
def test_a_convolution_pads_symmetrically(stride, out):
  kernel, bias, x = normal(3, 3, 4, 2), normal(2, seed=1), normal(2, 5, 6, 4, seed=2)
  conv = layer(lambda rngs: nn.Conv(4, 2, stride=stride, rngs=rngs), kernel=kernel, bias=bias)
  padded, want = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), np.asarray(bias)
  for i in range(3):
    for j in range(3):
      want = want + padded[:, i:i + 5:stride, j:j + 6:stride] @ np.asarray(kernel[i, j])
  assert conv(x).shape == (2, *out, 2)
  np.testing.assert_allclose(conv(x), want, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(t=st.floats(-1000, 1000, width=32), half=st.integers(1, 16))
def test_fourier_features_are_cosines_then_sines(t, half):
  frequencies = 10_000. ** (-np.arange(half) / half)  # divided by d/2, not by d/2 - 1
  want = np.concatenate([np.cos(t * frequencies), np.sin(t * frequencies)])
  got = nn.sinusoid(jnp.float32(t), 2 * half)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, want, atol=2e-4)  # fp32 angles up to 1000


@pytest.mark.parametrize('height, width', [(1, 1), (2, 3), (2, 7), (1, 4)])
def test_an_image_smaller_than_the_kernel_is_convolved_like_any_other(height, width):
  x, kernel, bias = normal(2, height, width, 4), normal(3, 3, 4, 5, seed=1), normal(5, seed=2)
  got = layer(lambda rngs: nn.Conv(4, 5, rngs=rngs), kernel=kernel, bias=bias)(x)
  large = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
  expected = jax.lax.conv_general_dilated(large, kernel, (1, 1), 'SAME',
                                          dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
  np.testing.assert_allclose(got, np.asarray(expected[:, 3:-3, 3:-3]) + np.asarray(bias), atol=1e-5)


def test_fourier_features_of_many_numbers():
  t = normal(2, 3)
  np.testing.assert_array_equal(nn.sinusoid(t, 8)[1, 2], nn.sinusoid(t[1, 2], 8))
  np.testing.assert_array_equal(nn.sinusoid(jnp.arange(4), 8), nn.sinusoid(jnp.arange(4.), 8))


class Stack(nnx.Module):
  """More than ten layers of one shape, whose order a sort of their names would change."""

  def __init__(self, *, rngs):
    self.layers = nnx.List([nn.Linear(3, 3, rngs=rngs) for _ in range(12)])

  def __call__(self, x):
    for linear in self.layers:
      x = linear(x)
    return x


@pytest.fixture(scope='module')
def stack():
  net = nn.functional(lambda rngs: Stack(rngs=rngs))
  return net, net.init(jax.random.key(0))


def test_parameters_are_named_by_their_path(stack):
  net, params = stack
  assert set(params) == {f'layers/{i}/{n}' for i in range(12) for n in ('kernel', 'bias')}
  assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
      lambda s: (s.shape, s.dtype), net.shapes)


def test_parameters_go_by_name_whatever_their_order(stack):
  net, params = stack
  x, want = normal(4, 3), normal(4, 3)
  for i in range(12):
    want = want @ params[f'layers/{i}/kernel'] + jnp.broadcast_to(
        params[f'layers/{i}/bias'], want.shape)
  for order in (sorted(params), reversed(params)):
    np.testing.assert_allclose(net.apply({n: params[n] for n in order}, x), want, atol=1e-5)


@pytest.mark.parametrize('spoil, named', [
    (lambda p: {n: x for n, x in p.items() if n != 'layers/7/bias'}, 'layers/7/bias'),
    (lambda p: p | {'layers/12/bias': jnp.zeros(3)}, 'layers/12/bias'),
    (lambda p: p | {'layers/7/bias': jnp.zeros(4)}, 'layers/7/bias'),
    (lambda p: {n.replace('layers/7', 'layers/07'): x for n, x in p.items()}, 'layers/07/bias'),
])
def test_other_parameters_than_its_own_are_refused(stack, spoil, named):
  net, params = stack
  with pytest.raises(ValueError, match=f'missing, unexpected or misshapen.*{named}'):
    net.apply(spoil(params), normal(4, 3))


def test_fresh_layers_are_drawn_as_pytorch_draws_them():
  net = nn.functional(lambda rngs: nn.Conv(16, 64, rngs=rngs))
  for x in net.init(jax.random.key(0)).values():
    bound = (16 * 9) ** -0.5  # U(±1/√fan_in), kernel and bias
    assert 0.9 * bound < jnp.abs(x).max() <= bound and abs(x.mean()) < 0.3 * bound


def test_every_tensor_is_drawn_anew_and_the_same_key_draws_the_same(stack):
  net, params = stack
  kernels = np.stack([params[f'layers/{i}/kernel'] for i in range(12)])
  assert len(np.unique(kernels)) == kernels.size
  again, other = net.init(jax.random.key(0)), net.init(jax.random.key(1))
  jax.tree.map(np.testing.assert_array_equal, again, params)
  assert not np.isin(np.asarray(other['layers/0/kernel']), kernels).any()


def test_without_a_key_there_are_only_shapes(stack):
  net, params = stack
  zeros = nnx.to_flat_state(nnx.state(Stack(rngs=nn.Keys(None)), nnx.Param))
  assert all((p[...] == 0).all() for _, p in zeros)


def test_another_process_draws_the_same(stack):
  script = ('import jax; from svdjax.models import nn\n'
            'net = nn.functional(lambda rngs: nn.Linear(3, 3, rngs=rngs))\n'
            'print(net.init(jax.random.key(0))["kernel"].tolist())')
  out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
  assert out.stdout.strip() == str(stack[1]['layers/0/kernel'].tolist())


def test_keys_of_vmapped_layers_have_their_own_stream():
  keys = jax.random.split(jax.random.key(0), 2)
  a, b = nn.Keys(keys[0]).params(), nn.Keys(keys[1]).params()
  assert a.standard_normal() != b.standard_normal()


@pytest.mark.parametrize('dtype, tolerance', [(jnp.float32, 2e-6), (jnp.bfloat16, 2e-2)])
def test_gelu_is_x_times_the_normal_distribution_function(dtype, tolerance):
  """Tolerances: a rounding of the largest value, 8, in the dtype of the result."""
  x = jnp.linspace(-8., 8., 1001, dtype=dtype)
  exact = [v * 0.5 * math.erfc(-v / math.sqrt(2.)) for v in np.asarray(x, np.float64)]
  found = nn.gelu(x)
  assert found.dtype == dtype
  np.testing.assert_allclose(np.asarray(found, np.float64), exact, atol=tolerance)
