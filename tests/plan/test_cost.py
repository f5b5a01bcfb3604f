"""Counts read from a trace, against XLA's own and against sums by hand."""

import jax
from jax import lax
import jax.numpy as jnp
import pytest

from svdjax.plan import cost

NOWHERE = cost.Weights({}, {'data': 1, 'fsdp': 1, 'frame': 1})


def counted(function, *args, lanes=1):
  return cost.count(jax.make_jaxpr(function)(*args).jaxpr, NOWHERE, lanes)


def convolve(x, w, stride=1):
  return lax.conv_general_dilated(x, w, (stride, stride), ((1, 1), (1, 1)),
                                  dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


@pytest.mark.parametrize('stride', [1, 2])
def test_a_convolution_and_its_gradients_are_counted_as_xla_counts(stride):
  x, w = jnp.ones((2, 8, 12, 4)), jnp.ones((3, 3, 4, 16))
  for function in (lambda x, w: convolve(x, w, stride),
                   jax.value_and_grad(
                       lambda x, w: convolve(x, w, stride).sum(), argnums=(0, 1))):
    xla = jax.jit(function).lower(x, w).cost_analysis()['flops']
    assert counted(function, x, w).flops == pytest.approx(xla, rel=0.02)


def test_a_loop_counts_as_often_as_it_runs():
  a = jnp.ones((4, 8, 16))
  once = 2 * 8 * 16 * 8
  assert counted(lambda a: lax.map(lambda x: x @ x.T, a), a).flops == 4 * once


def test_lanes_are_padded():
  product = counted(lambda x, y: x @ y, jnp.ones((6, 100)), jnp.ones((100, 130)), lanes=128)
  (padded, _), = product.products
  assert product.flops == 2 * 6 * 100 * 130 and padded == 2 * 6 * 128 * 256
