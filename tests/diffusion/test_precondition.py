"""Preconditionings and loss weights agree with their papers and with each other."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.diffusion import precondition as pre

TABLE = pre.scaled_linear_sigmas()
SIGMA = st.floats(0.002, 700)


def one(sigma):
  return jnp.array([sigma], jnp.float32)


def test_the_discrete_levels_are_those_of_stable_diffusion():
  assert TABLE.shape == (1000,) and TABLE.dtype == np.float32
  assert (np.diff(TABLE) > 0).all()
  np.testing.assert_allclose(TABLE[[0, -1]], [0.0291672, 14.61464], rtol=1e-5)


def test_edm_v_has_the_coefficients_of_the_paper():
  c_skip, c_out, c_in, c_noise = pre.edm_v(one(700.))
  np.testing.assert_allclose(c_skip, 1 / 490001, rtol=1e-6)
  np.testing.assert_allclose(c_out, -700 / 490001 ** 0.5, rtol=1e-6)
  np.testing.assert_allclose(c_in, 1 / 490001 ** 0.5, rtol=1e-6)
  np.testing.assert_allclose(c_noise, 1.63777, atol=1e-5)


@pytest.mark.parametrize('name, precondition', [('v', pre.edm_v), ('edm', pre.edm),
                                                ('eps', pre.eps), ('v', pre.v_discrete)])
@settings(max_examples=20, deadline=None)
@given(sigma=SIGMA)
def test_the_weight_undoes_c_out(name, precondition, sigma):
  """lambda c_out^2 = 1: the loss is the plain error of the network (EDM eq. 8)."""
  product = pre.loss_weight(name, one(sigma)) * precondition(one(sigma)).c_out ** 2
  np.testing.assert_allclose(product, 1, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(sigma=SIGMA)
def test_edm_with_unit_data_is_edm_v_with_the_other_sign(sigma):
  edm, edm_v = pre.edm(one(sigma), sigma_data=1.), pre.edm_v(one(sigma))
  np.testing.assert_allclose(jnp.stack(edm), jnp.stack(edm_v._replace(c_out=-edm_v.c_out)),
                             rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(sigma=SIGMA, sigma_data=st.floats(0.25, 4))
def test_edm_keeps_the_network_input_and_target_at_unit_variance(sigma, sigma_data):
  """The two conditions EDM's appendix B.6 derives its coefficients from."""
  sigma, variance = one(sigma), sigma_data ** 2
  c_skip, c_out, c_in, _ = pre.edm(sigma, sigma_data)
  np.testing.assert_allclose(c_in ** 2 * (variance + sigma ** 2), 1, rtol=1e-5)
  c_data = sigma ** 2 / (variance + sigma ** 2)  # 1 - c_skip without its cancellation
  target = (c_data ** 2 * variance + c_skip ** 2 * sigma ** 2) / c_out ** 2
  np.testing.assert_allclose(target, 1, rtol=1e-4)


def test_the_unit_weight_is_one_and_an_unknown_one_is_refused():
  np.testing.assert_array_equal(pre.loss_weight('unit', one(3.)), [1])
  with pytest.raises(BadInput, match="'vv' is unknown.*eps"):
    pre.loss_weight('vv', one(3.))


def test_discrete_v_is_continuous_v_but_for_the_index_it_is_told():
  sigma = jnp.asarray(TABLE[::37])
  continuous, discrete = pre.edm_v(sigma), pre.v_discrete(sigma)
  np.testing.assert_array_equal(jnp.stack(discrete[:3]), jnp.stack(continuous[:3]))
  np.testing.assert_array_equal(discrete.c_noise, np.arange(1000)[::37])


@settings(max_examples=20, deadline=None)
@given(index=st.integers(1, 998), shift=st.floats(-0.45, 0.45))
def test_a_level_between_two_entries_takes_the_nearest_index(index, shift):
  gap = TABLE[index + 1] - TABLE[index] if shift > 0 else TABLE[index] - TABLE[index - 1]
  assert pre.nearest(one(TABLE[index] + shift * gap), TABLE) == index


def test_levels_beyond_the_table_take_its_ends():
  np.testing.assert_array_equal(pre.eps(jnp.array([1e-4, 700.])).c_noise, [0, 999])


def test_the_optimal_networks_of_both_discrete_targets_are_one_denoiser():
  """For data N(0, 2^2) the posterior means of x0, noise and v are known in closed form."""
  sigma = jnp.asarray(TABLE[[0, 300, 700, 999]])
  x = jax.random.normal(jax.random.key(0), (4, 3, 2)) * sigma[:, None, None]

  def noise_of(scaled, index):
    s = pre.per_clip(jnp.asarray(TABLE)[index.astype(int)], scaled)
    return s, scaled * jnp.sqrt(1 + s ** 2) * s / (4 + s ** 2)

  def network_eps(scaled, index):
    return noise_of(scaled, index)[1]

  def network_v(scaled, index):
    s, noise = noise_of(scaled, index)
    return (noise - s * noise * 4 / s) / jnp.sqrt(1 + s ** 2)

  best = x * 4 / (4 + pre.per_clip(sigma, x) ** 2)
  for network, name in (network_eps, 'eps'), (network_v, 'v_discrete'):
    got = pre.denoise(network, pre.PRECONDITIONS[name], x, sigma)
    np.testing.assert_allclose(got, best, atol=2e-5)


@pytest.mark.parametrize('name', pre.PRECONDITIONS)
def test_every_preconditioning_has_one_interface(name):
  coefficients = pre.PRECONDITIONS[name](jnp.array([0.1, 1., 10.]))
  assert [c.shape for c in coefficients] == [(3,)] * 4
  assert {c.dtype for c in coefficients} == {jnp.dtype('float32')}


@pytest.mark.parametrize('name', pre.PRECONDITIONS)
def test_a_clip_has_one_noise_level_for_all_its_frames(name):
  """Clips of a batch are denoised each at its level, frames of a clip alike."""
  frame = jax.random.normal(jax.random.key(0), (2, 1, 4, 4, 3))
  clip, sigma = jnp.repeat(frame, 5, axis=1), jnp.array([0.5, 8.])

  def network(x, c_noise):
    return jnp.tanh(x) * pre.per_clip(c_noise, x)

  both = pre.denoise(network, pre.PRECONDITIONS[name], clip, sigma)
  np.testing.assert_array_equal(both, jnp.repeat(both[:, :1], 5, axis=1))
  alone = pre.denoise(network, pre.PRECONDITIONS[name], clip[1:], sigma[1:])
  np.testing.assert_array_equal(both[1:], alone)


def test_a_half_precision_network_gives_a_full_precision_denoiser():
  x, sigma = jnp.ones((1, 2, 4, 4, 3)), one(0.01)
  got = pre.denoise(lambda x, _: x.astype(jnp.bfloat16), pre.edm_v, x, sigma)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, 1, atol=0.011)


def test_further_arguments_reach_the_network():
  x, sigma = jnp.ones((1, 2)), one(1.)
  got = pre.denoise(lambda x, _, shift: x + shift, pre.eps, x, sigma, 2.)
  np.testing.assert_allclose(got, 1 - (1 / 2 ** 0.5 + 2), rtol=1e-6)
