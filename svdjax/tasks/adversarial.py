"""The temporal decoder against a discriminator of clips (Align your Latents, section 3.1.1).

Both learn in one step from one scalar: each term reaches only the network it is of.
"""

import jax
import jax.numpy as jnp

from svdjax.tasks import autoencoding, latents


def hinge(true, false):
  """The discriminator's loss from logits of true and decoded clips (LDM, appendix G)."""
  return (jax.nn.relu(1. - true).mean() + jax.nn.relu(1. + false).mean()) / 2.


def loss(config, parts, params, batch, key):
  """Reconstruction, the decoder's success against the discriminator, and the latter's own loss.

  Args:
    config: the experiment; config.autoencoder.adversarial_weight weighs the decoder's success.
    parts, params: networks and their flat parameters.
    batch: 'video' uint8 [b t h w 3].
    key: random key of this step.

  Returns:
    (scalar, metrics of autoencoding.loss and {'discriminator', 'fooled'}), the hinge loss and the
    share of decoded patches that pass for true.
  """
  fixed = {n: jax.lax.stop_gradient(x) for n, x in params.items()}
  total, metrics, output = autoencoding.objective(config, parts, params, batch, key)
  judge = lambda params, video: parts.apply('discriminator', params, video)
  success = judge(fixed, output)
  true = judge(params, latents.to_float(batch['video']))
  own = hinge(true, judge(params, jax.lax.stop_gradient(output)))
  total = total - config.autoencoder.adversarial_weight * success.mean() + own
  return total, metrics | {'discriminator': own, 'fooled': (success > 0).mean(dtype=jnp.float32)}
