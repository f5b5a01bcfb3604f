"""Frames between the frames of a whole clip (SVD section 4.4): each pair of neighbours in turn."""

from typing import NamedTuple

from einops import rearrange
import numpy as np

from svdjax import generate
from svdjax.core import memory
from svdjax.core.errors import BadInput
from svdjax.core.rng import fold_name
from svdjax.inputs import motion, video
from svdjax.tasks import latents

PAIRS = 4  # pairs of neighbours interpolated at once
_READ = 64  # frames decoded at once


class Footage(NamedTuple):
  """A clip to interpolate: uint8 [n h w 3], and its frames a second."""
  frames: np.ndarray
  fps: float


def read(path, height, width, frames):
  """All frames of a video, scaled and cropped to a size, for a model of clips of `frames` frames.

  Raises:
    BadInput: not a video, of fewer than two frames, or with more than memory holds after
      interpolation.
  """
  info = video.probe(path)
  if info.num_frames < 2:
    raise BadInput(f'--interpolate {path} has a single frame: frames are made between two, so give '
                   'a longer clip')
  needed, free = 2 * info.num_frames * (frames - 1) * height * width * 3, memory.free_bytes()
  if free and needed > free:
    raise BadInput(f'--interpolate {path} has {info.num_frames} frames, which become '
                   f'{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free: cut it into '
                   'shorter clips')
  numbers = np.arange(info.num_frames)
  pieces = [video.resize_crop(video.decode(path, numbers[i:i + _READ]), height, width)
            for i in range(0, len(numbers), _READ)]
  return Footage(np.concatenate(pieces), info.fps)


def told_rate(config, rate):
  """What a model is told of frames a second (minus one, [b]): none beyond those it was trained on.

  A clip of 25 frames a second becomes one of 100, and no clip of training was.
  """
  return np.clip(rate, np.float32(min(config.data.fps) - 1), np.float32(max(config.data.fps) - 1))


def rate(footage, frames):
  """Frames a second after interpolation by a model of clips of `frames` frames."""
  return footage.fps * (frames - 1)


def bucket(footage):
  """The motion bucket of a clip."""
  return motion.motion_bucket(motion.motion_score(footage.frames, footage.fps))


def batches(footage, inputs):
  """Conditioning inputs of each PAIRS pairs of neighbours, the last ones repeated to fill up.

  Args:
    footage: of n frames.
    inputs: what all pairs share, each with a leading axis of 1.

  Yields:
    {name: [PAIRS ...]}.
  """
  pairs = len(footage.frames) - 1
  for start in range(0, pairs, PAIRS):
    at = np.minimum(np.arange(start, start + PAIRS), pairs - 1)
    shared = {n: np.repeat(np.asarray(x), PAIRS, axis=0) for n, x in inputs.items()}
    yield shared | {'image': latents.to_float(footage.frames[at]),
                    'last_image': latents.to_float(footage.frames[at + 1])}


def run(generator, params, inputs, footage, key, progress=None):
  """The clip with new frames between its own, which stay as they are.

  Args:
    generator: from generate.build, of clips of t frames.
    params: flat parameters of all networks.
    inputs: what all pairs share ('fps', 'motion', 'cond_aug'), each with a leading axis of 1.
    footage: of n frames, in the size of the generator.
    key: random key.
    progress: called with the number of finished steps, of `steps(generator, footage)`.

  Returns:
    uint8 [(n - 1) (t - 1) + 1 h w 3].
  """
  each = len(generator.sigmas) - 1
  between = []
  for i, batch in enumerate(batches(footage, inputs)):
    report = progress and (lambda step, done=i * each: progress(done + step))
    made = generate.run(generator, params, batch, fold_name(key, f'pairs {i}'), report)
    between.append(np.asarray(made)[:, 1:-1])
  between = np.concatenate(between)[:len(footage.frames) - 1]
  filled = np.concatenate([footage.frames[:-1, None], between], axis=1)
  return np.concatenate([rearrange(filled, 'n t h w c -> (n t) h w c'), footage.frames[-1:]])


def steps(generator, footage):
  """Denoising steps over all pairs."""
  return -(-(len(footage.frames) - 1) // PAIRS) * (len(generator.sigmas) - 1)
