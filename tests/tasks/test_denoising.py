"""The diffusion loss over whole networks: its floor, its start, and what the UNet is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.diffusion import precondition, sampler
from svdjax.tasks import conditioning, denoising, latents

KEY = jax.random.key(3)
CLIPS = 8
zero = lambda x, *_: jnp.zeros_like(x[..., :4])


def batch_of(clips=CLIPS):
  video = np.random.default_rng(0).integers(0, 256, (clips, 3, 16, 24, 3)).astype(np.uint8)
  return {'video': jnp.asarray(video), 'tokens': jnp.ones((clips, 2), jnp.int32),
          'fps': jnp.full(clips, 7.), 'motion': jnp.full(clips, 127.),
          'p_mean': jnp.float32(0.), 'p_std': jnp.float32(1.)}


@pytest.fixture
def config(nano):
  return nano('i2v_14f,base', {'conditioning.drop_image': 0.})


def clean_latents(parts, params, batch):
  return latents.encode(parts, params, latents.to_float(batch['video']), KEY)


def captured(fake, config, **changes):
  """The inputs that the UNet is called with: x, c_noise, context, vector."""
  seen = []
  parts, params = fake(lambda *inputs: seen.append(inputs) or zero(*inputs), **changes)
  denoising.loss(config, parts, params, batch_of(), KEY)
  return parts, params, seen[0]


def test_a_network_that_knows_v_has_no_loss(fake, config):
  batch = batch_of()
  parts, params = fake()
  x0 = clean_latents(parts, params, batch)

  def perfect(x, c_noise, *_):
    sigma = precondition.per_clip(jnp.exp(4. * c_noise), x0)
    scale = jnp.sqrt(1. + sigma ** 2)
    noise = (x[..., :4] * scale - x0) / sigma
    return (noise - sigma * x0) / scale

  loss, metrics = denoising.loss(config, *fake(perfect), batch, KEY)
  assert 0 <= float(loss) < 1e-5
  assert sum(count for _, count in metrics['loss_by_sigma'].values()) == CLIPS


@pytest.mark.parametrize('name', ['i2v_14f,base', 'image_discrete'])
def test_a_fresh_network_which_outputs_zeros_loses_one(fake, nano, name):
  """The target v of unit-variance latents has unit variance at every noise level."""
  batch = batch_of(32)
  parts, params = fake(zero)
  scale = 1 / float(clean_latents(parts, params, batch).std())
  loss, _ = denoising.loss(nano(name), *fake(zero, scale), batch, KEY)
  assert float(loss) == pytest.approx(1., abs=0.03)


def test_a_clip_has_one_noise_level(fake, config):
  _, _, (x, c_noise, *_) = captured(fake, config)
  assert c_noise.shape == (CLIPS,) and len(set(c_noise.tolist())) == CLIPS
  variance = np.asarray(x[..., :4]).var((2, 3, 4))  # [b t], 1 at high noise, less at low
  assert (variance.std(1) < 0.2).all()


def test_noise_levels_follow_the_distribution_of_the_step(nano):
  diffusion = nano('i2v_14f').diffusion
  draw = lambda *numbers: jnp.log(denoising.draw_sigma(diffusion, KEY, 4000, *numbers))
  assert float(draw(1., 1.6).mean()) == pytest.approx(1., abs=0.1)
  assert float(draw(-1.2, 0.5).std()) == pytest.approx(0.5, abs=0.03)
  levels = denoising.draw_sigma(nano('image_discrete').diffusion, KEY, 100, 0., 1.)
  assert np.isin(levels, precondition.scaled_linear_sigmas()).all()


def test_the_latent_is_concatenated_after_the_scaling(fake, config):
  config.conditioning.log_cond_aug = (-20., 0.)
  parts, params, (x, *_) = captured(fake, config, scale=0.25)
  first = latents.to_float(batch_of()['video'][:, 0])
  expected = latents.encode_condition(parts, params, first)
  for t in range(3):
    np.testing.assert_allclose(x[:, t, ..., 4:], expected, atol=1e-6)


def test_a_dropped_image_leaves_the_vector(fake, config):
  config.conditioning.drop_image = 1.
  _, _, (x, _, context, vector) = captured(fake, config)
  assert (x[..., 4:] == 0).all() and (context == 0).all() and (vector != 0).any()
  config.conditioning.drop_image = 0.
  _, _, (x, _, context, kept) = captured(fake, config)
  assert (x[..., 4:] != 0).any() and (context != 0).any()
  np.testing.assert_array_equal(kept, vector)


def test_the_noise_of_the_image_is_embedded_as_it_was_drawn(fake, config):
  _, _, (*_, vector) = captured(fake, config)
  drawn = denoising.training_inputs(config, batch_of(), jax.random.key(0))['cond_aug']
  assert np.log(drawn).mean() == pytest.approx(-3., abs=0.5)
  assert len(set(map(tuple, np.asarray(vector)[:, 16:].tolist()))) == CLIPS
  np.testing.assert_array_equal(vector[:, :16], vector[:1, :16].repeat(CLIPS, 0))


def test_only_the_unet_is_trained_through_the_loss(fake, config):
  parts, params = fake(lambda x, *_: 0.1 * x[..., :4])
  grads = jax.grad(lambda p: denoising.loss(config, parts, p, batch_of(), KEY)[0])(params)
  assert {name for name, g in grads.items() if g != 0} == {'unet/gain'}


def test_a_caption_for_layers_between_frames_reaches_them_alone(fake, nano):
  seen = []
  parts, params = fake(lambda x, *_, **more: seen.append(more) or zero(x))
  given = conditioning.Conditions(jnp.ones((1, 2, 16)), None, None)
  for temporal in (None, jnp.zeros((1, 3, 16))):
    denoise = denoising.denoiser(nano('t2v_hq'), parts, params,
                                 given._replace(temporal_context=temporal), jnp.float32)
    denoise(jnp.zeros((1, 3, 8, 12, 4)), jnp.ones(1))
  assert seen[0] == {} and seen[1]['temporal_context'].shape == (1, 3, 16)


@pytest.mark.parametrize('step', [sampler.euler_step, sampler.heun_step])
def test_known_frames_come_back_whatever_the_network_says(fake, nano, step):
  parts, params = fake(lambda x, *_: jnp.sin(37. * x))
  known = jax.random.normal(jax.random.key(1), (1, 2, 8, 12, 4))
  given = conditioning.Conditions(jnp.ones((1, 2, 16)), None, None, known=known)
  denoise = denoising.denoiser(nano('t2v_hq'), parts, params, given, jnp.float32)
  x = 80. * jax.random.normal(KEY, (1, 5, 8, 12, 4))
  start = x.at[:, :2].add(known)
  np.testing.assert_array_equal(denoise(start, jnp.full(1, 80.))[:, :2], known)
  halfway = step(denoise, start, 80., 3.)
  np.testing.assert_allclose(halfway[:, :2], known + 3. / 80. * x[:, :2], rtol=1e-3, atol=1e-3)
  np.testing.assert_array_equal(step(denoise, halfway, 3., 0.)[:, :2], known)


def test_the_latent_between_two_frames_is_learned(fake, nano):
  config = nano('interpolation', {'conditioning.drop_image': 0.})
  parts, params = fake(lambda x, *_: 0.1 * x[..., :4] + 0.1 * x[..., 4:8])
  grads = jax.grad(lambda p: denoising.loss(config, parts, p, batch_of(), KEY)[0])(params)
  assert {name for name, g in grads.items() if g != 0} == {'unet/gain', 'mask/gain'}
