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
from svdjax.models import nn
from svdjax.models import unet

pytestmark = pytest.mark.usefixtures('compiled')

VIDEO = unet.UNetConfig(in_channels=5, out_channels=3, channels=(8, 8), attention=(False, True),
                        blocks=1, head_dim=4, context_dim=6, vector_dim=4, groups=4)
ONE_LEVEL = dataclasses.replace(VIDEO, channels=(8,), attention=(True,))
CLIPS, FRAMES, HEIGHT, WIDTH = 2, 3, 4, 6
MIXED = jnp.zeros((CLIPS, FRAMES), bool)


def count(shapes, *parts):
  return sum(math.prod(s.shape) for n, s in shapes.items()
             if not parts or any(p in n for p in parts))


# What the released UNet holds, from the block structure of its description (svd_model 1.2-1.5).

def linear(i, o, bias=True):
  return {'kernel': (i, o)} | ({'bias': (o,)} if bias else {})


def conv(i, o, *size):
  return {'kernel': (*size, i, o), 'bias': (o,)}


def norm(c):
  return {'scale': (c,), 'bias': (c,)}


def flatten(tree, prefix=''):
  if isinstance(tree, tuple):
    return {prefix: tree}
  return {name: shape for key, value in tree.items()
          for name, shape in flatten(value, f'{prefix}/{key}' if prefix else key).items()}


def mlp(i, hidden, o):
  return {'linear_1': linear(i, hidden), 'linear_2': linear(hidden, o)}


def resnet(i, o):
  kernels = {'spatial_res_block': (3, 3), 'temporal_res_block': (3,)}
  blocks = {name: {
      'norm1': norm(i if name[0] == 's' else o), 'norm2': norm(o),
      'conv1': conv(i if name[0] == 's' else o, o, *size), 'conv2': conv(o, o, *size),
      'time_emb_proj': linear(1280, o)} for name, size in kernels.items()}
  if i != o:
    blocks['spatial_res_block']['conv_shortcut'] = conv(i, o, 1, 1)
  return blocks | {'time_mixer': {'mix_factor': (1,)}}


def transformer(c):
  attention = lambda context: {
      'to_q': linear(c, c, bias=False), 'to_k': linear(context, c, bias=False),
      'to_v': linear(context, c, bias=False), 'to_out/0': linear(c, c)}
  feed = {'net/0/proj': linear(c, 8 * c), 'net/2': linear(4 * c, c)}
  block = {'norm1': norm(c), 'attn1': attention(c), 'norm2': norm(c), 'attn2': attention(1024),
           'norm3': norm(c), 'ff': feed}
  return {'norm': norm(c), 'proj_in': linear(c, c), 'proj_out': linear(c, c),
          'transformer_blocks/0': block,
          'temporal_transformer_blocks/0': block | {'norm_in': norm(c), 'ff_in': feed},
          'time_pos_embed': mlp(c, 4 * c, c), 'time_mixer': {'mix_factor': (1,)}}


def level(widths, attention, resample=None):
  blocks = {f'resnets/{j}': resnet(*w) for j, w in enumerate(widths)}
  if attention:
    blocks |= {f'attentions/{j}': transformer(w[1]) for j, w in enumerate(widths)}
  width = widths[-1][1]
  return blocks | ({f'{resample}/0/conv': conv(width, width, 3, 3)} if resample else {})


def released():
  down, up = 'downsamplers', 'upsamplers'
  return flatten({
      'conv_in': conv(8, 320, 3, 3),
      'time_embedding': mlp(320, 1280, 1280),
      'add_embedding': mlp(768, 1280, 1280),
      'down_blocks/0': level([(320, 320), (320, 320)], True, down),
      'down_blocks/1': level([(320, 640), (640, 640)], True, down),
      'down_blocks/2': level([(640, 1280), (1280, 1280)], True, down),
      'down_blocks/3': level([(1280, 1280), (1280, 1280)], False),
      'mid_block': level([(1280, 1280)] * 2, False) | {'attentions/0': transformer(1280)},
      'up_blocks/0': level([(2560, 1280)] * 3, False, up),
      'up_blocks/1': level([(2560, 1280), (2560, 1280), (1920, 1280)], True, up),
      'up_blocks/2': level([(1920, 640), (1280, 640), (960, 640)], True, up),
      'up_blocks/3': level([(960, 320), (640, 320), (640, 320)], True),
      'conv_norm_out': norm(320), 'conv_out': conv(320, 4, 3, 3)})


@pytest.fixture(scope='module')
def full():
  return unet.build(unet.UNetConfig()).shapes


def test_the_video_model_has_the_parameters_of_the_released_one(full):
  temporal = ('temporal_', 'time_mixer', 'time_pos_embed')
  assert (count(full), len(full)) == (1_524_623_082, 1_428)
  assert count(full, *temporal) == 656_076_838  # SVD: 656M
  assert count(full, 'add_embedding') == 2_624_000


def test_every_tensor_has_the_name_and_shape_that_the_released_one_has(full):
  assert {name: s.shape for name, s in full.items()} == released()


def test_without_temporal_layers_it_is_the_unet_of_stable_diffusion_2_1():
  shapes = unet.build(unet.UNetConfig(temporal='none', vector_dim=0, in_channels=4)).shapes
  assert (count(shapes), len(shapes)) == (865_910_724, 686)
  video = released()
  other = {n for n, s in shapes.items() if s.shape != video[n]}
  assert other == {'conv_in/kernel'}  # 4 more input channels in SVD


def test_a_full_size_clip_keeps_its_shape(full):
  net, shape = unet.build(unet.UNetConfig()), jax.ShapeDtypeStruct
  x = shape((1, 14, 72, 128, 8), jnp.bfloat16)
  out = jax.eval_shape(net.apply, full, x, shape((1,), jnp.float32),
                       shape((1, 1, 1024), jnp.bfloat16), shape((1, 768), jnp.bfloat16))
  assert (out.shape, out.dtype) == ((1, 14, 72, 128, 4), jnp.bfloat16)


# Behaviour, on a small network whose every parameter is random. Run operation by operation unless
# compiling matters: the tests share operations, and would share few programs.

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


def test_no_flag_means_clips(plain):
  net = unet.build(VIDEO)
  given, mixed = plain
  out = net.apply(scrambled(net.shapes), **given | {'image_only': None})
  np.testing.assert_allclose(out, mixed, atol=1e-5)


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


def test_temporal_layers_may_be_told_something_else(video, plain):
  """SVD, appendix E: spatial and temporal layers can be prompted separately."""
  apply, params = video
  given, mixed = plain
  same = apply(params, **given, temporal_context=given['context'])
  np.testing.assert_allclose(same, mixed, atol=1e-5)
  assert jnp.abs(apply(params, **given, temporal_context=-given['context']) - mixed).max() > 1e-2


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
def test_each_resnet_and_transformer_is_rematerialised_as_the_policy_says(policy, blocks):
  loss, params = image_loss(policy)
  assert str(jax.make_jaxpr(loss)(params)).count('remat') == blocks


def test_rematerialised_gradients_are_the_same():
  loss, params = image_loss('none')
  want = jax.grad(loss)(params)
  assert all(jnp.abs(g).max() > 0 for g in want.values())
  got = jax.grad(image_loss('full')[0])(params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), want, got)
