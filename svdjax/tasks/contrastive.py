"""CLIP's objective: captions and frames of the same clip find each other (2103.00020, fig. 3)."""

import jax
import jax.numpy as jnp

from svdjax.models import clip, clip_resize
from svdjax.tasks import latents


def loss(config, parts, params, batch, key):
  """Symmetric cross-entropy over the batch, with a temperature of config.clip.temperature.

  Args:
    config: the experiment.
    parts, params: networks and their flat parameters.
    batch: 'video' uint8 [b t h w 3], whose first frame counts; 'tokens' int32 [b n].
    key: unused; the objective has no noise.

  Returns:
    (scalar, {'accuracy'}), the share of frames whose own caption is the nearest in the batch.
  """
  del key
  image = latents.to_float(batch['video'][:, 0])
  image = clip_resize.preprocess(image, parts.configs['clip_image']['size'])
  images = clip.normalised(parts.apply('clip_image', params, image))
  captions = clip.normalised(parts.apply('clip_text', params, batch['tokens'])[1])
  logits = jnp.einsum('id,jd->ij', images, captions) / config.clip.temperature
  # Clips with the same caption are all right answers.
  same = (batch['tokens'][:, None] == batch['tokens'][None]).all(-1)
  target = same / same.sum(-1, keepdims=True)
  entropy = lambda logits: -(target * jax.nn.log_softmax(logits, axis=-1)).sum(-1).mean()
  found = jnp.take_along_axis(same, logits.argmax(-1)[:, None], axis=1)
  return (entropy(logits) + entropy(logits.T)) / 2., {'accuracy': found.mean()}
