"""CLIP's loss: who is right, and what is said of clips that share a caption."""

import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.tasks import contrastive

KINDS = jnp.eye(4, 16)


@pytest.fixture
def config(nano):
  return nano('clip', {'clip.temperature': 0.01})


def towers(fake, images, captions):
  """Networks that give clip i the vector images[i], and its caption captions[i]."""
  parts, params = fake()
  for name, apply in (('clip_image', lambda p, x: images),
                      ('clip_text', lambda p, tokens: (None, captions))):
    parts.networks[name] = parts.networks[name]._replace(apply=apply)
  return parts, params


def batch_of(words):
  return {'video': jnp.zeros((4, 1, 16, 16, 3), jnp.uint8), 'tokens': jnp.array(words)[:, None]}


def test_matching_towers_have_no_loss(fake, config):
  parts, params = towers(fake, 3. * KINDS, 0.1 * KINDS)  # length does not count
  loss, metrics = contrastive.loss(config, parts, params, batch_of([1, 2, 3, 4]), None)
  assert float(loss) < 1e-6 and float(metrics['accuracy']) == 1.


def test_towers_that_say_the_same_of_all_know_nothing(fake, config):
  parts, params = towers(fake, jnp.ones((4, 16)), jnp.ones((4, 16)))
  loss, _ = contrastive.loss(config, parts, params, batch_of([1, 2, 3, 4]), None)
  assert float(loss) == pytest.approx(np.log(4.), rel=1e-5)


def test_swapped_captions_are_wrong(fake, config):
  parts, params = towers(fake, KINDS, KINDS[jnp.array([1, 0, 2, 3])])
  loss, metrics = contrastive.loss(config, parts, params, batch_of([1, 2, 3, 4]), None)
  assert float(metrics['accuracy']) == 0.5 and float(loss) > 10.


def test_clips_with_the_same_caption_are_all_right_answers(fake, config):
  """Which of two such clips a caption finds is no matter; that it finds one of them is."""
  words, config.clip.temperature = batch_of([1, 1, 2, 3]), 0.5
  losses = []
  for found in ([0, 1, 2, 3], [1, 0, 2, 3]):
    parts, params = towers(fake, KINDS[jnp.array(found)], KINDS)
    loss, metrics = contrastive.loss(config, parts, params, words, None)
    assert float(metrics['accuracy']) == 1.
    losses.append(float(loss))
  assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_least_loss_is_the_choice_between_equals(fake, config):
  kinds = KINDS[jnp.array([0, 0, 1, 2])]
  loss, _ = contrastive.loss(config, *towers(fake, kinds, kinds), batch_of([1, 1, 2, 3]), None)
  assert float(loss) == pytest.approx(np.log(2.) / 2, rel=1e-4)  # for half of the batch
