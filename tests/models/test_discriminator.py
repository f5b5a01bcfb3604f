"""The judge of clips sees patches, and time."""

import jax
import numpy as np
import pytest

from svdjax.models import discriminator


@pytest.fixture(scope='module')
def judge():
  """f(video [b t 16 24 3]) -> logits of patches."""
  network = discriminator.build(discriminator.DiscriminatorConfig(channels=(8, 16), groups=4))
  params = network.init(jax.random.key(0))
  return lambda video: np.asarray(network.apply(params, video))


def test_every_patch_of_every_frame_is_judged(judge):
  video = np.random.default_rng(0).standard_normal((2, 5, 16, 24, 3)).astype(np.float32)
  assert judge(video).shape == (2, 5, 4, 6)


def test_the_order_of_frames_counts(judge):
  """Each frame of a shuffled clip is as before; a judge of single frames could not tell."""
  video = np.random.default_rng(0).standard_normal((1, 5, 16, 24, 3)).astype(np.float32)
  order = [3, 0, 4, 1, 2]
  assert np.abs(judge(video[:, order]) - judge(video)[:, order]).max() > 1e-3
