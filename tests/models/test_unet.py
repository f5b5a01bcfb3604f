"""A small network with random parameters, run operation by operation: these the tests share."""

import dataclasses
import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.params import select
from svdjax.models import attention
from svdjax.models import nn
from svdjax.models import unet

pytestmark = pytest.mark.usefixtures('compiled')

VIDEO = unet.UNetConfig(in_channels=5, out_channels=3, channels=(8, 8), attention=(False, True),
                        blocks=1, head_dim=4, context_dim=6, vector_dim=4, groups=4)
ONE_LEVEL = dataclasses.replace(VIDEO, channels=(8,), attention=(True,))
CLIPS, FRAMES, HEIGHT, WIDTH = 2, 3, 4, 6
MIXED = jnp.zeros((CLIPS, FRAMES), bool)


def scrambled(shapes, seed=0):
  """Random parameters, also where a fresh network has zeros or ones."""
  random = np.random.default_rng(seed)
  draw = lambda s: random.standard_normal(s.shape) * max(math.prod(s.shape[:-1]), 4) ** -0.5
  return {name: jnp.asarray(draw(s) + name.endswith('scale'), jnp.float32)
          for name, s in shapes.items()}


def inputs(clips=CLIPS, frames=FRAMES, height=HEIGHT, width=WIDTH, tokens=2):
  random = np.random.default_rng(1)
  draw = lambda *shape: jnp.asarray(random.standard_normal(shape), jnp.float32)
  return dict(x=draw(clips, frames, height, width, VIDEO.in_channels), c_noise=draw(clips),
              context=draw(clips, tokens, VIDEO.context_dim), vector=draw(clips, VIDEO.vector_dim))


SMALL = inputs(height=2, width=3)  # the sizes of VIDEO's lower level


@pytest.fixture(scope='module')
def video():
  net = unet.build(VIDEO)
  return net.apply, scrambled(net.shapes)


@pytest.fixture(scope='module')
def plain(video):
  """Inputs and what the network makes of them."""
  apply, params = video
  given = inputs() | {'image_only': MIXED}
  return given, apply(params, **given)


def inflated(config, image_params):
  """A fresh video model around the spatial layers of an image model."""
  net = unet.build(config)
  params = net.init(jax.random.key(7)) | image_params
  assert set(params) == set(net.shapes)
  return net.apply, params


@pytest.mark.parametrize('temporal, tokens', [
    ('svd', 1), ('svd', 2), ('convolution', 2), ('attention', 2)])
def test_an_inflated_image_model_gives_exactly_the_image_models_frames(temporal, tokens):
  image = unet.build(dataclasses.replace(VIDEO, temporal='none', vector_dim=0))
  spatial, given = scrambled(image.shapes), inputs(tokens=tokens)
  apply, params = inflated(dataclasses.replace(VIDEO, temporal=temporal), spatial)
  clip = apply(params, **given)
  assert jnp.std(clip) > 0.1
  np.testing.assert_array_equal(clip, image.apply(spatial, **given | {'vector': None}))


def other_frames(given):
  """The same inputs with everything but the first frame exchanged."""
  return given | {'x': given['x'].at[:, 1:].add(1.)}


def test_frames_of_image_only_clips_do_not_see_each_other(video, plain):
  apply, params = video
  given, mixed = plain
  given = given | {'image_only': ~MIXED}
  alone = apply(params, **given)
  np.testing.assert_array_equal(alone[:, 0], apply(params, **other_frames(given))[:, 0])
  assert jnp.abs(alone - mixed).max() > 1e-2


def test_frames_of_clips_see_each_other(video, plain):
  apply, params = video
  given, mixed = plain
  assert jnp.abs(apply(params, **other_frames(given)) - mixed)[:, 0].max() > 1e-2


def test_a_batch_may_hold_clips_and_images(video, plain):
  apply, params = video
  given, mixed = plain
  both = apply(params, **given | {'image_only': MIXED.at[1].set(True)})
  np.testing.assert_allclose(both[0], mixed[0], atol=1e-5)
  assert jnp.abs(both[1] - mixed[1]).max() > 1e-2


def test_no_flag_means_clips(video, plain):
  apply, params = video
  given, mixed = plain
  np.testing.assert_allclose(apply(params, **given | {'image_only': None}), mixed, atol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other(video, plain):
  apply, params = video
  given, mixed = plain
  swapped = apply(params, **{name: value[::-1] for name, value in given.items()})
  np.testing.assert_allclose(swapped[::-1], mixed, atol=1e-5)


def test_a_context_for_the_clip_is_the_same_context_for_each_frame(video, plain):
  apply, params = video
  given, mixed = plain
  context = jnp.repeat(given['context'][:, None], FRAMES, axis=1)
  np.testing.assert_allclose(apply(params, **given | {'context': context}), mixed, atol=1e-5)


def test_a_vector_for_the_clip_is_the_same_vector_for_each_frame(video, plain):
  apply, params = video
  given, mixed = plain
  vector = jnp.repeat(given['vector'][:, None], FRAMES, axis=1)
  np.testing.assert_allclose(apply(params, **given | {'vector': vector}), mixed, atol=1e-5)
  other = apply(params, **given | {'vector': vector.at[:, 1].add(1.)})
  assert jnp.abs(other - mixed).max() > 1e-2


def test_every_input_is_heard(video, plain):
  apply, params = video
  given, mixed = plain
  for name in ('x', 'c_noise', 'context', 'vector'):
    changed = apply(params, **given | {name: given[name].at[0].add(1.)})
    assert jnp.abs(changed - mixed)[0].max() > 1e-3, name
    np.testing.assert_allclose(changed[1], mixed[1], atol=1e-5, err_msg=name)


def test_temporal_layers_may_be_told_something_else_than_the_first_frame(video, plain):
  """SVD, appendix E: spatial and temporal layers can be prompted separately."""
  apply, params = video
  given, _ = plain
  context = given['context'][:, None] * jnp.arange(1., 1. + FRAMES).reshape(1, -1, 1, 1)
  out = apply(params, **given | {'context': context})
  told = lambda tokens: apply(params, **given | {'context': context}, temporal_context=tokens)
  np.testing.assert_allclose(told(context[:, 0]), out, atol=1e-5)
  assert jnp.abs(told(context[:, 1]) - out).max() > 1e-2


def test_a_clip_of_one_frame_is_still_a_clip():
  net = unet.build(ONE_LEVEL)
  params, given = scrambled(net.shapes), inputs(6, 1, 2, 3)
  flag = jnp.zeros((6, 1), bool)
  clip = net.apply(params, **given, image_only=flag)
  assert clip.shape == (6, 1, 2, 3, VIDEO.out_channels)
  assert jnp.abs(clip - net.apply(params, **given, image_only=~flag)).max() > 1e-2


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(1, 2**32 - 1))
def test_queries_and_keys_of_a_single_token_do_nothing(video, seed):
  apply, params = video
  given = inputs(tokens=1) | {'image_only': MIXED}
  inert = ('attn2/to_q/kernel', 'attn2/to_k/kernel', 'transformer_blocks/0/norm2/scale')
  random = scrambled({n: x for n, x in params.items() if n.endswith(inert)}, seed)
  assert len(random) == 3 * 2 * 4  # transformers: one down, one in the middle, two up
  np.testing.assert_array_equal(apply(params, **given), apply(params | random, **given))


def test_group_norms_of_diffusers_differ_where_documented():
  """svd_model 1.7."""
  config = unet.UNetConfig(channels=(32, 32, 32, 32), head_dim=32, norm_eps='diffusers')
  lower = {}
  for preset in ('sgm', 'diffusers'):
    net = unet.UNet(dataclasses.replace(config, norm_eps=preset), rngs=nn.Keys(None))
    levels = {'mid': net.mid_block}
    levels |= {f'down{i}': block for i, block in enumerate(net.down_blocks)}
    levels |= {f'up{i}': block for i, block in enumerate(net.up_blocks)}
    lower[preset] = set()
    for name, block in levels.items():
      assert {a.norm.eps for a in block.attentions} <= {1e-6}
      eps = {norm.eps for r in block.resnets for part in (r.spatial_res_block, r.temporal_res_block)
             for norm in (part.norm1, part.norm2)}
      assert eps in ({1e-5}, {1e-6})
      lower[preset] |= {name} if eps == {1e-6} else set()
    assert net.conv_norm_out.eps == 1e-5
  assert lower['sgm'] == set()
  assert lower['diffusers'] == {'down0', 'down1', 'down2', 'up0', 'up1', 'up2', 'up3'}


def test_group_norms_of_diffusers_change_little(video, plain):
  _, params = video
  given, sgm = plain
  net = unet.build(dataclasses.replace(VIDEO, norm_eps='diffusers'))
  difference = jnp.abs(net.apply(params, **given) - sgm).max()
  assert 1e-7 < difference < 1e-3


def test_bfloat16_in_bfloat16_out_close_to_fp32():
  net, given = unet.build(ONE_LEVEL), SMALL
  params = scrambled(net.shapes)
  fp32 = net.apply(params, **given)
  low = jax.jit(net.apply)(params, **given | {'x': given['x'].astype(jnp.bfloat16)})
  assert low.dtype == jnp.bfloat16
  assert jnp.abs(low.astype(jnp.float32) - fp32).mean() < 0.02 * jnp.abs(fp32).mean()


def image_loss(remat):
  net = unet.build(dataclasses.replace(ONE_LEVEL, temporal='none', vector_dim=0, remat=remat))
  given, params = SMALL | {'vector': None}, scrambled(net.shapes)
  inner, outer = select(params, ['.*mid_block.*(conv1|to_k)/kernel', 'conv_in/kernel'])
  return lambda inner: jnp.square(net.apply(outer | inner, **given)).mean(), inner


@pytest.mark.parametrize('policy, blocks', [('none', 0), ('full', 9), ('matmuls', 9)])
def test_each_resnet_and_transformer_is_rematerialised_as_the_policy_says(
    policy, blocks, monkeypatch):
  monkeypatch.setattr(attention, '_geglu', attention._geglu.__wrapped__)  # it always is
  loss, params = image_loss(policy)
  assert str(jax.make_jaxpr(loss)(params)).count('remat') == blocks


@pytest.mark.slow
def test_rematerialised_gradients_are_the_same():
  loss, params = image_loss('none')
  want = jax.grad(loss)(params)
  assert all(jnp.abs(g).max() > 0 for g in want.values())
  got = jax.grad(image_loss('full')[0])(params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), want, got)
