"""Skipping layers in parameter space is leaving them out of the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.core.params import part, prefixed
from svdjax.models import skip, unet

CONFIG = unet.UNetConfig(in_channels=4, channels=(16,), attention=(True,), blocks=1, groups=4,
                         head_dim=8, context_dim=8, vector_dim=0)


@pytest.fixture(scope='module')
def network():
  """(f(params) -> clips [1 3 4 4 4], flat params), no parameter zero."""
  built = unet.build(CONFIG)
  rng = np.random.default_rng(0)
  params = {n: x + 0.2 * rng.standard_normal(x.shape).astype(np.float32)
            for n, x in built.init(jax.random.key(0)).items()}
  x, context = (jnp.asarray(rng.standard_normal(s), jnp.float32)
                for s in ((1, 3, 4, 4, 4), (1, 2, 8)))
  run = jax.jit(lambda params: built.apply(part(params, 'unet'), x, jnp.ones(1), context))
  image = jax.jit(lambda params: built.apply(part(params, 'unet'), x, jnp.ones(1), context,
                                             image_only=jnp.ones((1, 3), bool)))
  return run, image, prefixed(params, 'unet')


def test_without_its_temporal_layers_a_video_model_is_an_image_model(network):
  run, image, params = network
  weak = skip.skip(params, r'unet/.*/time_mixer/mix_factor')
  np.testing.assert_allclose(run(weak), image(params), atol=1e-5)
  assert jnp.abs(run(params) - image(params)).max() > 0.01


def test_a_skipped_layer_no_longer_counts(network):
  run, _, params = network
  name = 'unet/mid_block/resnets/0/spatial_res_block/conv1/kernel'
  changed = params | {name: params[name] + 1}
  assert jnp.abs(run(changed) - run(params)).max() > 0.01
  np.testing.assert_allclose(run(skip.skip(changed, skip.MIDDLE)),
                             run(skip.skip(params, skip.MIDDLE)), atol=1e-6)


def test_the_parameters_themselves_stay(network):
  _, _, params = network
  before = dict(params)
  weak = skip.skip(params, skip.MIDDLE)
  assert all(params[n] is before[n] for n in before)
  changed = {n for n in params if weak[n] is not params[n]}
  assert changed and all(n.startswith('unet/mid_block/') for n in changed)


@pytest.mark.parametrize('pattern', ['unet/nothing/.*', 'unet/conv_in/.*'])
def test_what_cannot_be_skipped(network, pattern):
  with pytest.raises(BadInput, match='matches no layer that can be skipped.* layers in .*'
                                     'unet/down_blocks/0/, unet/mid_block/, unet/up_blocks/0/$'):
    skip.skip(network[2], pattern)


@pytest.mark.parametrize('pattern', ['(', 'unet/[', '*'])
def test_what_is_no_regular_expression(network, pattern):
  with pytest.raises(BadInput) as refused:
    skip.skip(network[2], pattern)
  assert str(refused.value).startswith(f'skip_layers "{pattern}" is not a regular expression')


def test_names_alone_tell_what_is_skipped(network):
  """No parameter needs to be read for it."""
  ends, blends = skip.matched(iter(network[2]), skip.MIDDLE)
  weak = skip.skip(network[2], skip.MIDDLE)
  assert {*ends, *blends} == {n for n in weak if weak[n] is not network[2][n]}
  assert all(np.isinf(weak[n]).all() for n in blends) and not any(weak[n].any() for n in ends)
