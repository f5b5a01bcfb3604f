import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.models import nn
from svdjax.models import temporal

B, T, S, C = 2, 3, 5, 8


def normal(*shape, seed=0):
  return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def scrambled(net):
  return {n: normal(*s.shape, seed=i) * max(s.shape[0], 4) ** -0.5
          for i, (n, s) in enumerate(net.shapes.items())}


@pytest.fixture(scope='module')
def resnet():
  return nn.functional(lambda rngs: temporal.TemporalResBlock(C, 6, 1e-5, 4, rngs=rngs))


@pytest.fixture(scope='module')
def transformer():
  return nn.functional(lambda rngs: temporal.TemporalTransformerBlock(C, 4, 6, rngs=rngs))


X, EMB, CONTEXT = normal(B, T, S, C), normal(B, T, 6, seed=1), normal(B, 2, 6, seed=2)


def test_fresh_mixers_are_the_identity(resnet, transformer):
  for net, second in ((resnet, EMB), (transformer, CONTEXT)):
    np.testing.assert_array_equal(net.apply(net.init(jax.random.key(0)), X, second), X)


def influence(net, second):
  """How much each (frame, position) of the output hears each of the input: [t s, t s]."""
  params = scrambled(net)
  jacobian = jax.jacfwd(lambda x: net.apply(params, x, second)[0].sum(-1))(X)[:, :, 0]
  return jnp.abs(jacobian).sum(-1).reshape(T * S, T * S)


def test_the_transformer_mixes_frames_at_each_position_alone(transformer):
  same_position = np.kron(np.ones((T, T)), np.eye(S))
  np.testing.assert_array_equal(influence(transformer, CONTEXT) > 0, same_position)


def test_the_resnet_mixes_all_frames_through_its_statistics(resnet):
  assert (influence(resnet, EMB) > 0).all()


def test_each_frame_has_its_own_embedding(resnet):
  params = scrambled(resnet)
  changed = resnet.apply(params, X, EMB.at[:, 1].add(1.)) - resnet.apply(params, X, EMB)
  assert jnp.abs(changed[:, 1]).min() > 0


def test_the_autoencoders_resnet_has_no_embedding():
  net = nn.functional(lambda rngs: temporal.TemporalResBlock(C, None, 1e-5, 4, rngs=rngs))
  assert not [n for n in net.shapes if 'emb' in n]
  assert net.apply(scrambled(net), X).shape == X.shape


def test_clips_attend_to_their_own_context(transformer):
  params = scrambled(transformer)
  changed = transformer.apply(params, X, CONTEXT.at[0].add(1.)) - transformer.apply(
      params, X, CONTEXT)
  assert jnp.abs(changed[0]).max() > 1e-2
  np.testing.assert_array_equal(changed[1], 0.)


def blend(mix_factor, spatial, mixed, image_only=None):
  net = nn.functional(lambda rngs: temporal.AlphaBlender(rngs=rngs))
  return net.apply({'mix_factor': jnp.full(1, mix_factor)}, spatial, mixed, image_only)


@pytest.mark.parametrize('mix_factor', [-2., 0., 0.5, 3.])
def test_alpha_weighs_the_spatial_side(mix_factor):
  mixed, alpha = normal(B, T, S, C, seed=3), 1 / (1 + np.exp(-mix_factor))
  np.testing.assert_allclose(
      blend(mix_factor, X, mixed), alpha * X + (1 - alpha) * mixed, atol=1e-6)


def test_a_fresh_blender_starts_at_one_half_before_the_sigmoid():
  net = nn.functional(lambda rngs: temporal.AlphaBlender(rngs=rngs))
  assert net.init(jax.random.key(0))['mix_factor'].tolist() == [0.5]


def test_blending_what_agrees_is_exact():
  np.testing.assert_array_equal(blend(0.3, X, X), X)


def test_images_stay_spatial():
  flags = jnp.array([[True, False, False], [True, True, True]])
  mixed = normal(B, T, S, C, seed=3)
  got = blend(0.5, X, mixed, flags)
  np.testing.assert_array_equal(got[flags], X[flags])
  np.testing.assert_array_equal(got[~flags], blend(0.5, X, mixed)[~flags])


def test_frame_positions_start_at_zero_and_have_no_maximum():
  net = nn.functional(lambda rngs: temporal.FramePosition(C, rngs=rngs))
  fresh = net.apply(net.init(jax.random.key(0)), 3, jnp.float32)
  np.testing.assert_array_equal(fresh, np.zeros((3, C)))
  params = scrambled(net)
  short, long = net.apply(params, 3, jnp.float32), net.apply(params, 50, jnp.float32)
  np.testing.assert_allclose(long[:3], short, atol=1e-6)
  assert len(np.unique(np.asarray(long).round(4), axis=0)) == 50
  assert net.apply(params, 3, jnp.bfloat16).dtype == jnp.bfloat16


def test_mixers_by_name():
  kinds = {name: (bool(m.resnet), bool(m.transformer)) for name, m in temporal.MIXERS.items()}
  assert kinds == {'svd': (True, True), 'convolution': (True, False), 'attention': (False, True),
                   'none': (False, False)}
