"""What the UNet is told, and what the unconditional input leaves out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.models import clip_resize, nn
from svdjax.presets import PRESETS
from svdjax.tasks import conditioning, latents

KEY = jax.random.key(0)


@pytest.fixture
def inputs():
  image = jax.random.uniform(jax.random.key(1), (2, 16, 24, 3), minval=-1., maxval=1.)
  return {'image': image, 'tokens': jnp.array([[1, 2], [3, 4]]), 'fps': jnp.array([7., 3.]),
          'motion': jnp.array([127., 10.]), 'cond_aug': jnp.array([0.02, 0.5])}


@pytest.fixture
def image_config(nano):
  return nano('i2v_14f,base')


def test_scalars_are_embedded_one_after_the_other(inputs):
  got = conditioning.embed_scalars(('fps', 'motion', 'cond_aug'), 24, inputs)
  assert got.shape == (2, 24)
  for i, name in enumerate(('fps', 'motion', 'cond_aug')):
    np.testing.assert_array_equal(got[:, 8 * i:8 * i + 8], nn.sinusoid(inputs[name], 8))


def test_sv3d_is_told_noise_then_polar_then_azimuth():
  """256 + 512 + 512 features of each frame in the released model (svd_model 7.1)."""
  values = {'cond_aug': jnp.array([1e-5, 0.3]), 'polar': jnp.array([[1., 1.2, 2.], [0.2, 0.4, 3.]]),
            'azimuth': jnp.array([[2., 4., 6.], [1., 3., 5.]])}
  got = conditioning.embed_scalars(PRESETS['sv3d_p'].scalars, 40, values)
  assert got.shape == (2, 3, 40)
  for t in range(3):
    np.testing.assert_array_equal(got[:, t, :8], nn.sinusoid(values['cond_aug'], 8))
    np.testing.assert_array_equal(got[:, t, 8:24], nn.sinusoid(values['polar'][:, t], 16))
    np.testing.assert_array_equal(got[:, t, 24:], nn.sinusoid(values['azimuth'][:, t], 16))


def test_the_image_token_sees_the_clean_frame_and_the_latent_the_noisy_one(
    fake, image_config, inputs):
  parts, params = fake()
  seen = []
  encoder = parts.networks['vae'].apply
  parts.networks['vae'] = parts.networks['vae']._replace(
      apply=lambda p, x, mode: seen.append(x) or encoder(p, x, mode))
  given = conditioning.conditions(image_config, parts, params, inputs, 3, KEY)
  clean = parts.apply('clip_image', params, clip_resize.preprocess(inputs['image'], 16))
  np.testing.assert_array_equal(given.context, clean[:, None])
  noise = np.asarray(seen[0] - inputs['image'])
  np.testing.assert_allclose(noise.std((1, 2, 3)), inputs['cond_aug'], rtol=0.1)


def test_the_first_frame_stands_beside_every_frame_unscaled(fake, image_config, inputs):
  parts, params = fake(scale=0.25)
  inputs['cond_aug'] = jnp.zeros(2)
  concat = conditioning.conditions(image_config, parts, params, inputs, 3, KEY).concat
  assert concat.shape == (2, 3, 8, 12, 4)
  mean = latents.encode_condition(parts, params, inputs['image'])
  for t in range(3):
    np.testing.assert_array_equal(concat[:, t], mean)


@pytest.fixture
def between(nano, inputs):
  """Config and inputs of a model that is given both ends."""
  last = jax.random.uniform(jax.random.key(2), inputs['image'].shape, minval=-1., maxval=1.)
  return nano('interpolation'), inputs | {'last_image': last, 'cond_aug': jnp.zeros(2)}


def test_between_two_frames_stands_the_learned_latent(fake, between):
  """{z_s, m, m, m, z_e} and a mask: 4 + 1 channels beside the 4 of the noisy latents."""
  config, inputs = between
  parts, params = fake(scale=0.25)
  concat = conditioning.conditions(config, parts, params, inputs, 5, KEY).concat
  assert concat.shape == (2, 5, 8, 12, 5)
  np.testing.assert_array_equal(concat[0, :, 0, 0, 4], [1, 0, 0, 0, 1])
  assert (concat[..., 4] == concat[:1, :, :1, :1, 4]).all()
  for t, name in ((0, 'image'), (4, 'last_image')):
    latent = 0.25 * latents.encode_condition(parts, params, inputs[name])
    np.testing.assert_array_equal(concat[:, t, ..., :4], latent)
  assert (concat[:, 1:4, ..., :4] == 7).all()  # what the fixture's mask latent is


def test_given_ends_are_noised_as_latents(fake, between):
  config, inputs = between
  parts, params = fake(scale=0.25)
  make = lambda aug: conditioning.conditions(
      config, parts, params, inputs | {'cond_aug': jnp.array(aug)}, 5, KEY).concat[..., :4]
  noise = np.asarray(make([0.02, 0.5]) - make([0., 0.]))
  np.testing.assert_allclose(noise[:, [0, 4]].std((1, 2, 3, 4)), [0.02, 0.5], rtol=0.1)
  assert (noise[:, 1:4] == 0).all()


def test_clip_sees_both_ends(fake, between):
  config, inputs = between
  parts, params = fake()
  context = conditioning.conditions(config, parts, params, inputs, 5, KEY).context
  for k, name in enumerate(('image', 'last_image')):
    token = parts.apply('clip_image', params, clip_resize.preprocess(inputs[name], 16))
    np.testing.assert_array_equal(context[:, k], token)


def test_without_the_ends_nothing_tells_which_frames_were_given(fake, between):
  config, inputs = between
  parts, params = fake()
  given = conditioning.conditions(config, parts, params, inputs, 5, KEY)
  dropped = conditioning.without_image(config, given, jnp.ones(2, bool))
  assert (dropped.concat == 0).all() and (dropped.context == 0).all()


def test_text_models_see_the_states_of_the_caption_alone(fake, nano, inputs):
  parts, params = fake()
  given = conditioning.conditions(nano('image_discrete'), parts, params, inputs, 1, KEY)
  np.testing.assert_array_equal(given.context[..., 0], inputs['tokens'])
  assert given.concat is None and given.vector is None


def test_the_unconditional_input_lacks_token_and_latent_together(fake, image_config, inputs):
  parts, params = fake()
  given = conditioning.conditions(image_config, parts, params, inputs, 3, KEY)
  dropped = conditioning.without_image(image_config, given, jnp.array([True, False]))
  for name in ('context', 'concat'):
    assert (getattr(given, name)[0] != 0).any() and (getattr(dropped, name)[0] == 0).all()
    np.testing.assert_array_equal(getattr(dropped, name)[1], getattr(given, name)[1])
  np.testing.assert_array_equal(dropped.vector, given.vector)


def test_layers_between_frames_may_read_a_caption_of_their_own(fake, nano, inputs):
  parts, params = fake()
  config = nano('t2v_hq')
  plain = conditioning.conditions(config, parts, params, inputs, 3, KEY)
  assert plain.temporal_context is None
  words = jnp.array([[5, 6], [7, 8]])
  told = inputs | {'temporal_tokens': words}
  given = conditioning.conditions(config, parts, params, told, 3, KEY)
  np.testing.assert_array_equal(given.temporal_context[..., 0], words)
  np.testing.assert_array_equal(given.context, plain.context)


def test_without_a_given_frame_no_noise_on_it_is_told(fake, nano, inputs):
  """Text-to-video stages train with 0 and are sampled with it, whatever the default is."""
  parts, params = fake()
  vector = lambda aug: conditioning.conditions(
      nano('t2v_hq'), parts, params, inputs | {'cond_aug': jnp.full(2, aug)}, 3, KEY).vector
  np.testing.assert_array_equal(vector(0.5), vector(0.))


def test_text_is_not_dropped_with_the_image(fake, nano, inputs):
  parts, params = fake()
  config = nano('image_discrete')
  given = conditioning.conditions(config, parts, params, inputs, 1, KEY)
  dropped = conditioning.without_image(config, given, jnp.ones(2, bool))
  np.testing.assert_array_equal(dropped.context, given.context)
