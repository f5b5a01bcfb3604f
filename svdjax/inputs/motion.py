"""How much moves in a clip, and the scale of that for conditioning (SVD, appendix C).

    python -m svdjax.inputs.motion FILE [FILE …]

prints the motion score and the motion bucket of each video: what a model is told of a clip like it.
"""

import argparse
import sys

import cv2
import numpy as np

from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import video

MEDIAN_MOTION = 0.02  # ours: the share of the frame diagonal per second that maps to 127.5
_LONG_SIDE = 256
_PAIRS_PER_SECOND = 8
_CHUNK = 64  # frames of a file in memory at once


def motion_score(frames, fps):
  """Mean optical flow of a clip, as a share of the frame diagonal per second.

  Flow is measured between frames 1/8 s apart (neighbours below 12 fps). On 48x64 clips at 8 fps
  with a 16 px object that moves 2-4 px a frame, neighbours give 1.1 times the true motion;
  frames 1/4 s or 1/2 s apart lose the object and give 0.2 to 0.5 times it.

  Args:
    frames: uint8 [t h w 3].
    fps: frames a second.

  Returns:
    float; 0 for a single frame.
  """
  if len(frames) < 2:
    return 0.0
  gap = _gap(len(frames), fps)
  picked = frames[::gap]
  return float(np.mean([pair_motion(a, b, gap / fps) for a, b in zip(picked, picked[1:])]))


def _gap(frames, fps):
  """Frames from one that is measured to the next."""
  return min(max(1, round(fps / _PAIRS_PER_SECOND)), frames - 1)


def file_motion(path):
  """`motion_score` of a whole video, read a few frames at a time.

  Raises:
    VideoError: the file cannot be used.
  """
  info = video.probe(path)
  if info.num_frames < 2:
    return 0.0
  gap = _gap(info.num_frames, info.fps)
  picked, scores = np.arange(0, info.num_frames, gap), []
  for first in range(0, len(picked) - 1, _CHUNK):
    frames = video.decode(path, picked[first:first + _CHUNK + 1])
    scores += [pair_motion(a, b, gap / info.fps) for a, b in zip(frames, frames[1:])]
  return float(np.mean(scores))


def pair_motion(first, second, seconds):
  """Mean optical flow between two frames uint8 [h w 3], in frame diagonals per second."""
  return grey_motion(_grey(first), _grey(second), seconds)


def grey_motion(first, second, seconds):
  """`pair_motion` of frames uint8 [h w] that already have a long side of about 256."""
  flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
  field = flow.calc(first, second, None)
  return float(np.linalg.norm(field, axis=-1).mean() / np.hypot(*field.shape[:2]) / seconds)


def _grey(frame):
  return cv2.cvtColor(for_flow(frame), cv2.COLOR_RGB2GRAY)


def for_flow(frame):
  """uint8 [h w 3] -> the same with a long side of 256: small frames are enlarged, flow needs it."""
  scale = _LONG_SIDE / max(frame.shape[:2])
  size = [max(16, round(n * scale)) for n in frame.shape[1::-1]]
  method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
  return cv2.resize(frame, size, interpolation=method)


def motion_bucket(score):
  """The motion bucket of a motion score: 255 s / (s + MEDIAN_MOTION).

  The paper never published its map; this one is ours: monotone, bounded, and 127.5 at the median
  motion.

  Args:
    score: share of the frame diagonal per second, at least 0.

  Returns:
    float in [0, 255).
  """
  return 255 * score / (score + MEDIAN_MOTION)


def bucket_motion(bucket):
  """The motion score of a motion bucket, the inverse of `motion_bucket`.

  Raises:
    BadInput: the bucket is outside [0, 255).
  """
  if not 0 <= bucket < 255:
    raise BadInput(f'motion bucket {bucket} is out of range: give a number from 0 to 254')
  return MEDIAN_MOTION * bucket / (255 - bucket)


def main(argv=None):
  """Prints a line for each file; files that cannot be read are named at the end.

  Raises:
    BadInput: some file cannot be read.
  """
  parser = argparse.ArgumentParser(prog='python -m svdjax.inputs.motion', description=(
      'Motion score (mean optical flow, in shares of the frame diagonal a second) and motion '
      f'bucket (255 s / (s + {MEDIAN_MOTION}), 0 to 255) of videos.'))
  parser.add_argument('files', nargs='+', metavar='FILE')
  failed = []
  print('score\tbucket\tfile')
  for path in parser.parse_args(argv).files:
    try:
      score = file_motion(path)
    except BadInput as error:
      failed.append(str(error))
    else:
      print(f'{score:.4f}\t{motion_bucket(score):.0f}\t{path}', flush=True)
  for reason in failed[:-1]:
    print(f'error: {reason}', file=sys.stderr)
  if failed:
    raise BadInput(failed[-1])


if __name__ == '__main__':
  run_command(main)
