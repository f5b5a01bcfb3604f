import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.models import nn
from svdjax.models import vae
from svdjax.models.blocks import Downsample

pytestmark = pytest.mark.usefixtures('compiled')

TEMPORAL = vae.VAEConfig(channels=(4, 8), blocks=1, latent_channels=3, groups=2, scale=1.)
IMAGE = dataclasses.replace(TEMPORAL, temporal=False)
HEIGHT, WIDTH = 4, 6


def count(shapes, part=''):
  return sum(math.prod(s.shape) for n, s in shapes.items() if part in n)


def scrambled(shapes, seed=0):
  """Random parameters, also where a fresh network has zeros or ones."""
  random = np.random.default_rng(seed)
  draw = lambda s: random.standard_normal(s.shape) * max(math.prod(s.shape[:-1]), 4) ** -0.5
  return {name: jnp.asarray(draw(s) + name.endswith('scale'), jnp.float32)
          for name, s in shapes.items()}


def normal(*shape, seed=1):
  return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def latents(frames, clips=1):
  return normal(clips, frames, HEIGHT, WIDTH, TEMPORAL.latent_channels)


@pytest.fixture(scope='module')
def temporal():
  net = vae.build(TEMPORAL)
  return net.apply, scrambled(net.shapes)


def test_the_temporal_autoencoder_has_the_parameters_of_the_released_one():
  shapes = vae.build(vae.VAEConfig()).shapes
  assert (count(shapes), len(shapes)) == (97_742_847, 374)
  parts = {'encoder/': 34_163_592, '/mid_block/': 10_494_976 + 13_646_850, 'quant_conv/': 72,
           'decoder/': 63_579_183, 'decoder/up_blocks/0': 21_252_611,
           'decoder/up_blocks/3': 1_364_867, 'time_conv_out': 30,
           'encoder/down_blocks/2': 10_754_560}
  assert {part: count(shapes, part) for part in parts} == parts
  mixers = [n for n in shapes if n.endswith('time_mixer/mix_factor')]
  assert len(mixers) == 14 and 'post_quant_conv/kernel' not in shapes


def test_with_an_image_decoder_it_is_the_autoencoder_of_stable_diffusion():
  shapes = vae.build(vae.VAEConfig(temporal=False, post_quant=True)).shapes
  assert count(shapes) == 83_653_863
  assert count(shapes, 'decoder/') == 49_490_179 and count(shapes, 'post_quant_conv') == 20


def test_full_size_frames_are_encoded_to_an_eighth():
  config = vae.VAEConfig()
  net = vae.build(config)
  video = jax.ShapeDtypeStruct((1, 2, 576, 1024, 3), jnp.bfloat16)
  mean, log_variance = jax.eval_shape(lambda p, v: vae.encode(net.apply, p, v), net.shapes, video)
  assert config.downscale == 8
  assert mean.shape == log_variance.shape == (1, 2, 72, 128, 4)
  frames = jax.eval_shape(lambda p, z: vae.decode(net.apply, p, z, chunk=1), net.shapes, mean)
  assert (frames.shape, frames.dtype) == (video.shape, jnp.bfloat16)


def test_a_fresh_temporal_decoder_is_exactly_the_image_decoder():
  image, net = vae.build(IMAGE), vae.build(TEMPORAL)
  spatial = scrambled(image.shapes)
  params = net.init(jax.random.key(0)) | spatial
  assert set(params) == set(net.shapes)
  z = latents(3)
  frames = vae.decode(image.apply, spatial, z)
  assert frames.shape == (1, 3, 2 * HEIGHT, 2 * WIDTH, 3) and jnp.std(frames) > 0.1
  np.testing.assert_array_equal(vae.decode(net.apply, params, z), frames)


def test_the_image_decoder_does_not_mix_frames():
  image = vae.build(IMAGE)
  params, z = scrambled(image.shapes), latents(3)
  frames = image.apply(params, z, 'decode')
  reversed_ = image.apply(params, z[:, ::-1], 'decode')
  np.testing.assert_allclose(reversed_[:, ::-1], frames, atol=1e-5)


def test_chunks_of_frames_are_decoded_on_their_own(temporal):
  apply, params = temporal
  z = latents(6)
  chunked = vae.decode(apply, params, z, chunk=3)
  for chunk in (slice(0, 3), slice(3, 6)):
    np.testing.assert_allclose(vae.decode(apply, params, z[:, chunk]), chunked[:, chunk], atol=1e-5)
  at_once = vae.decode(apply, params, z)
  assert (jnp.abs(chunked - at_once).max((0, 2, 3, 4)) > 1e-2).all()  # every frame, not the seam


def test_the_last_chunk_may_be_shorter(temporal):
  apply, params = temporal
  z = latents(4)
  chunked = vae.decode(apply, params, z, chunk=3)
  assert chunked.shape[1] == 4
  np.testing.assert_allclose(vae.decode(apply, params, z[:, 3:]), chunked[:, 3:], atol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other(temporal):
  apply, params = temporal
  z = latents(3, clips=2)
  frames = vae.decode(apply, params, z)
  np.testing.assert_allclose(vae.decode(apply, params, z[::-1])[::-1], frames, atol=1e-5)


def test_the_encoder_sees_one_frame_at_a_time(temporal):
  apply, params = temporal
  video = normal(2, 3, 8, 12, 3)
  mean, log_variance = vae.encode(apply, params, video)
  assert mean.shape == log_variance.shape == (2, 3, 4, 6, 3)
  changed, _ = vae.encode(apply, params, video.at[:, 1:].add(1.))
  np.testing.assert_array_equal(changed[:, 0], mean[:, 0])
  assert jnp.abs(changed - mean)[:, 1:].max() > 1e-2


@pytest.mark.parametrize('chunk, calls', [(1, 4), (2, 2), (3, 2), (9, 1)])  # 3 does not divide 4
def test_encoding_in_chunks_of_frames_is_encoding(temporal, chunk, calls):
  apply, params = temporal
  video, seen = normal(2, 4, 8, 12, 3), []

  def told(params, x, way):
    jax.debug.callback(lambda: seen.append(len(x)))
    return apply(params, x, way)

  for got, whole in zip(vae.encode(told, params, video, chunk), vae.encode(apply, params, video)):
    np.testing.assert_allclose(got, whole, atol=1e-5)
  jax.effects_barrier()
  assert seen == [2 * 4 // calls] * calls


def test_the_log_variance_is_bounded(temporal):
  apply, params = temporal
  loud = params | {'quant_conv/kernel': 1e4 * params['quant_conv/kernel']}
  _, log_variance = vae.encode(apply, loud, normal(2, 3, 8, 12, 3))
  assert (log_variance.min(), log_variance.max()) == (-30., 20.)


@pytest.mark.parametrize('height, width', [(4, 6), (5, 7)])
def test_downsampling_pads_below_and_on_the_right_alone(height, width):
  down = nn.functional(lambda rngs: Downsample(2, ((0, 1), (0, 1)), rngs=rngs))
  params, x = scrambled(down.shapes), normal(1, height, width, 2)
  padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
  want = np.zeros((1, height // 2, width // 2, 2)) + np.asarray(params['conv/bias'])
  for i in range(3):
    for j in range(3):
      rows = slice(i, i + 2 * (height // 2) - 1, 2), slice(j, j + 2 * (width // 2) - 1, 2)
      want += padded[:, rows[0], rows[1]] @ np.asarray(params['conv/kernel'][i, j])
  np.testing.assert_allclose(down.apply(params, x), want, atol=1e-5)


def test_odd_sizes_are_rounded_down(temporal):
  apply, params = temporal
  mean, _ = apply(params, normal(1, 5, 7, 3), 'encode')
  assert mean.shape == (1, 2, 3, TEMPORAL.latent_channels)


@pytest.mark.parametrize('mix_factor, weight', [(-50., 0.), (0., 0.5), (50., 1.)])
def test_the_blend_weighs_the_temporal_side(mix_factor, weight):
  """The reverse of the UNet's, where a large mix_factor is a large share of the spatial side."""
  block = nn.functional(lambda rngs: vae.DecoderResBlock(4, 4, TEMPORAL, rngs=rngs))
  params, x = scrambled(block.shapes), normal(1, 3, HEIGHT, WIDTH, 4)
  spatial = nn.functional(lambda rngs: vae.DecoderResBlock(4, 4, IMAGE, rngs=rngs))
  alone = spatial.apply({n: params[n] for n in spatial.shapes}, x)
  mixed = lambda value: block.apply(params | {'time_mixer/mix_factor': jnp.full(1, value)}, x)
  temporal = mixed(50.)
  assert jnp.abs(temporal - alone).max() > 0.1
  np.testing.assert_allclose(mixed(mix_factor), alone + weight * (temporal - alone), atol=1e-5)
