"""The full-size UNets have the tensors of those that were published."""

import math

import jax
import jax.numpy as jnp
import pytest

from svdjax.models import unet


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
