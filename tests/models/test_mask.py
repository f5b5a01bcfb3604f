"""The learned latent of frames that are not given."""

import jax
import numpy as np

from svdjax.models import mask


def test_it_starts_as_if_nothing_was_said():
  network = mask.build(mask.MaskConfig(height=2, width=3, channels=4))
  params = network.init(jax.random.key(0))
  assert {n: x.shape for n, x in params.items()} == {'latent': (2, 3, 4)}
  assert (network.apply(params, 2, 3) == 0).all()


def latent_columns(latent):
  """The mean of both rows of [2 3 c], stretched to 6 columns by hand: [6 c]."""
  left, middle, right = latent.mean(0)
  mix = lambda a, b, share: (1 - share) * a + share * b
  return np.stack([left, mix(left, middle, 0.25), mix(left, middle, 0.75),
                   mix(middle, right, 0.25), mix(middle, right, 0.75), right])


def test_it_is_itself_at_its_size_and_stretched_at_others():
  network = mask.build(mask.MaskConfig(height=2, width=3, channels=4))
  latent = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
  np.testing.assert_array_equal(network.apply({'latent': latent}, 2, 3), latent)
  double = network.apply({'latent': latent}, 4, 6)
  np.testing.assert_allclose(double[0, 0], latent[0, 0], atol=1e-6)
  np.testing.assert_allclose(double[-1, -1], latent[-1, -1], atol=1e-6)
  np.testing.assert_allclose(double[1:3].mean(0), latent_columns(latent), atol=1e-6)
