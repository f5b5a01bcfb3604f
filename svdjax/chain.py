"""Longer videos: clip after clip, each of which holds the last frames of the one before it.

Held frames are latents that the denoiser is made to return, so that any sampler carries them from
noise to themselves (the replacement method of Video Diffusion Models, 2204.03458, section 3.1, with
the noise of each frame fixed). A model of images is also given the first of them as its image.
"""

import numpy as np

from svdjax import generate
from svdjax.core.errors import BadInput
from svdjax.core.rng import fold_name
from svdjax.request import is_orbit
from svdjax.tasks import latents


def check(config, frames, length, overlap):
  """Raises BadInput where clips of `frames` frames cannot be chained to `length`."""
  around = is_orbit(config) or 'views' in config.data or (
      'elevation' in config.conditioning.scalars)
  if around or config.conditioning.concat == 'masked':
    raise BadInput('--length is of videos that go on, and this checkpoint makes what lies between '
                   'two frames or around an object: use image-to-video or text-to-video')
  if not 1 <= overlap < frames:
    raise BadInput(f'--overlap {overlap} is not between 1 and {frames - 1}: clips have {frames} '
                   'frames')
  if length <= frames:
    raise BadInput(f'--length {length} is not more than the {frames} frames of one clip: pass '
                   '--frames instead')


def clips(length, frames, overlap):
  """How many clips of `frames` frames make a video of `length`."""
  return 1 - -(length - frames) // (frames - overlap)


def following(x, clip, inputs, overlap):
  """Inputs of the clip that goes on from latents x [b t h w z], decoded as clip [b t h w 3]."""
  held = inputs | {'known': x[:, -overlap:]}
  if 'image' in inputs:
    held['image'] = latents.to_float(clip[:, -overlap])
  return held


def run(generator, params, inputs, key, length, overlap, progress=None):
  """Samples a video of `length` frames for each entry of `inputs`.

  Args:
    generator: from generate.build, of clips of t frames.
    params: flat parameters of all networks.
    inputs: conditioning inputs, each with a leading axis b.
    key: random key.
    length: frames of each video, more than t.
    overlap: frames that a clip shares with the one before it.
    progress: called with the number of finished steps.

  Returns:
    uint8 [b length h w 3].
  """
  each, made = len(generator.sigmas) - 1, []
  for i in range(clips(length, generator.shape[0], overlap)):
    report = progress and (lambda step, done=i * each: progress(done + step))
    x = generate.sample(generator, params, inputs, fold_name(key, f'clip {i}'), report)
    clip = np.asarray(generator.decode(params, x))
    made.append(clip[:, overlap if i else 0:])
    inputs = following(x, clip, inputs, overlap)
  return np.concatenate(made, axis=1)[:, :length]
