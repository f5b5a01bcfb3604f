"""A decoder and its judge: each learns from its own terms alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.tasks import adversarial, autoencoding

KEY = jax.random.key(0)


@pytest.fixture
def config(nano):
  return nano('autoencoder,adversarial', {'autoencoder.adversarial_weight': 0.5})


@pytest.fixture
def batch():
  video = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 8, 3)).astype(np.uint8)
  return {'video': jnp.asarray(video)}


@pytest.fixture
def judged(fake):
  """Networks whose judge is a line in the mean brightness of a clip."""
  parts, params = fake()
  judge = lambda p, video: 0.2 + p['gain'] * video.mean((2, 3, 4))
  parts.networks['discriminator'] = parts.networks['vae']._replace(apply=judge)
  return parts, params | {'discriminator/gain': jnp.float32(0.7)}


def test_the_hinge_is_zero_beyond_its_margin():
  assert float(adversarial.hinge(jnp.array([1., 2.]), jnp.array([-1., -3.]))) == 0
  assert float(adversarial.hinge(jnp.zeros(3), jnp.zeros(3))) == 1
  assert float(adversarial.hinge(jnp.full(2, -1.), jnp.full(2, 1.))) == 2


def test_the_loss_is_the_sum_of_its_terms(judged, config, batch):
  parts, params = judged
  total, metrics = adversarial.loss(config, parts, params, batch, KEY)
  plain, _, output = autoencoding.objective(config, parts, params, batch, KEY)
  success = parts.apply('discriminator', params, output)
  expected = float(plain) - 0.5 * float(success.mean()) + float(metrics['discriminator'])
  assert float(total) == pytest.approx(expected, rel=1e-5)
  assert float(metrics['fooled']) == pytest.approx(float((success > 0).mean()))


def test_each_network_learns_from_its_own_terms(judged, config, batch):
  parts, params = judged
  grads = jax.grad(lambda p: adversarial.loss(config, parts, p, batch, KEY)[0])(params)

  def decoder_alone(gain):
    changed = params | {'vae/gain': gain}
    plain, _, output = autoencoding.objective(config, parts, changed, batch, KEY)
    return plain - 0.5 * parts.apply('discriminator', params, output).mean()

  def judge_alone(gain):
    _, _, output = autoencoding.objective(config, parts, params, batch, KEY)
    judge = lambda video: parts.apply('discriminator', params | {'discriminator/gain': gain}, video)
    true = batch['video'].astype(jnp.float32) / 127.5 - 1.
    return adversarial.hinge(judge(true), judge(output))

  np.testing.assert_allclose(grads['vae/gain'], jax.grad(decoder_alone)(params['vae/gain']),
                             rtol=1e-4)
  np.testing.assert_allclose(grads['discriminator/gain'],
                             jax.grad(judge_alone)(params['discriminator/gain']), rtol=1e-4)
