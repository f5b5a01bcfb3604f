"""One clip as a record: rendered, encoded, captioned, with its truth."""

import json
import pathlib
import tempfile

import cv2
import numpy as np

from data.toyworld import caption
from data.toyworld import render
from data.toyworld import scene as scenes
from data.toyworld import turntable
from data.toyworld import world as worlds
from svdjax.inputs.export import write_mp4
from svdjax.inputs.motion import motion_score


def truth(scene, frames, fps):
  """All that is true of a clip, ready for JSON.

  Places are shares of the frame's width and height, rates are per second, angles degrees.
  `velocity` is the object's mean motion in the image, `direction` its motion in the world.
  `camera.velocity` is the camera's own, opposite to what it sees; `camera.zoom` the growth of
  everything in one second.
  """
  seconds = max(frames - 1, 1) / fps
  track, scale, _ = render.trajectory(scene, frames)
  rounded = lambda x, digits=5: np.round(x, digits).tolist()
  pans = scene.move in worlds.DIRECTIONS
  pan = np.array(worlds.DIRECTIONS[scene.move] if pans else (0, 0)) * scene.travel / seconds
  facts = {
      'kind': scene.kind, 'shape': scene.shape, 'color': scene.color,
      'direction': scene.direction, 'speed': scene.speed,
      'velocity': rounded((track[-1] - track[0]) / seconds),
      'camera': {'move': scene.move, 'velocity': rounded(pan),
                 'zoom': rounded(scale[-1] ** (1 / seconds))},
      'background': scene.background, 'tint': scene.tint, 'size': rounded(scene.size),
      'angle': rounded(scene.angle, 3), 'spin': rounded(scene.spin / seconds, 3),
      'track': rounded(track),
  }
  if scene.kind == 'turntable':
    facts |= {'second_color': scene.second_color, 'elevation': rounded(scene.elevation, 3),
              'azimuth': rounded(turntable.azimuths(scene.azimuth, frames), 3)}
  return facts


def _mp4(video, fps):
  """[t h w 3] uint8 -> the bytes of an mp4 file."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'clip.mp4'
    write_mp4(path, video, fps)
    return path.read_bytes()


def _motion(video, fps, pairs=3):
  """`motion_score` of a few pairs of frames, for speed: what moves here moves steadily."""
  if len(video) < 2:
    return 0.0
  firsts = np.linspace(0, len(video) - 2, min(pairs, len(video) - 1)).astype(int)
  return float(np.mean([motion_score(video[i:i + 2], fps) for i in firsts]))


def make(world, split, index):
  """Makes clip `index` of a split: a pure function of its arguments.

  Args:
    world: {'seed', 'height', 'width', 'frames', 'fps', 'kinds'} of the data set.
    split: 'train' or 'test'.
    index: number of the clip.

  Returns:
    A record as `svdjax.inputs.record.features` describes it.
  """
  cv2.setNumThreads(1)
  height, width, frames, fps = (world[name] for name in ('height', 'width', 'frames', 'fps'))
  scene = scenes.sample(world['seed'], split, index, world['kinds'])
  video = render.render(scene, height, width, frames)
  return {
      'clip_id': f'toyworld-{split}-{index:06d}', 'source_uri': f'toyworld:{split}/{index}',
      'video': _mp4(video, fps), 'width': width, 'height': height, 'num_frames': frames,
      'pts': np.arange(frames, dtype=np.int64), 'timebase_num': 1, 'timebase_den': fps,
      'fps': float(fps), 't_start': 0.0, 't_end': frames / fps,
      'captions': caption.captions(scene), 'motion': _motion(video, fps),
      'truth': json.dumps(truth(scene, frames, fps)),
  }
