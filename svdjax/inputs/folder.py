"""Folders of clips: videos, or folders of frames, by name."""

import csv
import math
import pathlib

import numpy as np
from PIL import Image

from svdjax.core.errors import BadInput
from svdjax.inputs import image as image_lib
from svdjax.inputs import video

VIDEOS = ('.mp4', '.webm', '.mov', '.mkv', '.avi')
IMAGES = ('.png', '.jpg', '.jpeg', '.webp')
WINDOWS = ('first', 'center', 'random')


def _pictures(folder):
  return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)


def find(folder, pattern='**/*'):
  """Clips in a folder: {name relative to it, without suffix: path}, sorted by name.

  Raises:
    BadInput: no such folder, no clip in it, or two of one name.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise BadInput(f'{folder} is not a folder: give one of clips')
  clips = {}
  for path in sorted(folder.glob(pattern)):
    name = path.relative_to(folder).as_posix()
    if path.is_file() and path.suffix.lower() in VIDEOS:
      name = name[:-len(path.suffix)]
    elif not (path.is_dir() and _pictures(path)):
      continue
    if name in clips:
      raise BadInput(f'{folder} has two clips of the name {name}: rename one')
    clips[name] = path
  if not clips:
    raise BadInput(f'{folder} has no clip at {pattern}: give videos ({", ".join(VIDEOS)}) or '
                   'folders of frames')
  return clips


def told(folder, what):
  """{name of a clip: text} of WHATs.csv in a folder, with columns file and WHAT; {} without one.

  Args:
    folder: of clips.
    what: 'caption' or 'elevation'.

  Raises:
    BadInput: the file has not these columns.
  """
  path = pathlib.Path(folder) / f'{what}s.csv'
  if not path.is_file():
    return {}
  with open(path, newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  if rows and not {'file', what} <= rows[0].keys():
    raise BadInput(f'{path} has not the columns "file" and "{what}": add them')
  suffixes = VIDEOS + IMAGES
  bare = lambda name: name[:name.rindex('.')] if name.lower().endswith(suffixes) else name
  return {bare(row['file']): row[what] for row in rows}


def _start(window, spare, rng):
  """Where a window begins that leaves `spare` units of a clip."""
  return {'first': 0, 'center': spare / 2, 'random': rng.uniform(0, spare)}[window]


def read(path, frames, fps=0., stride=1, window='first', seed=0):
  """A clip of a number of frames out of a video or a folder of frames.

  Args:
    path: of the video or folder.
    frames: how many.
    fps: frames a second to take from a video, nearest in time; 0: every `stride`-th frame. A
      folder of frames has no times, and `fps` is not used.
    stride: of frames.
    window: one of WINDOWS.
    seed: of the random window, together with the clip's name.

  Returns:
    (uint8 [t h w 3], its frames a second), nan for a folder.

  Raises:
    BadInput: it is too short, cannot be decoded, or has frames of several sizes.
  """
  path, rng = pathlib.Path(path), np.random.default_rng([seed, *path.name.encode()])
  needed = (frames - 1) * stride + 1
  if path.is_dir():
    files = _pictures(path)
    _check_length(path, len(files), needed)
    first = math.floor(_start(window, len(files) - needed, rng))
    pictures = [image_lib.load_image(p) for p in files[first:first + needed:stride]]
    if len({p.shape for p in pictures}) > 1:
      raise BadInput(f'frames of {path} are of several sizes: make them one')
    return np.stack(pictures), float('nan')
  info = video.probe(path)
  if not fps:
    _check_length(path, info.num_frames, needed)
    first = math.floor(_start(window, info.num_frames - needed, rng))
    return video.decode(path, range(first, first + needed, stride)), info.fps / stride
  _check_length(path, info.duration * fps + 0.5, frames)
  start = _start(window, max(0., info.duration - frames / fps), rng)
  indices = video.sample_indices(info.pts, info.timebase, start, frames, fps)
  return video.decode(path, indices), fps


def _check_length(path, have, needed):
  if have < needed:
    raise BadInput(f'{path} has {int(have)} frames where {needed} are needed: leave it out or ask '
                   'for fewer')


def fit(clip, resize=(), crop=()):
  """Resizes a clip uint8 [t h w 3] to `resize`, then cuts `crop` from its centre; () leaves it.

  Bilinear with antialiasing.

  Raises:
    BadInput: the crop is larger than the clip.
  """
  if resize and tuple(resize) != clip.shape[1:3]:
    size = tuple(resize)[::-1]
    clip = np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BILINEAR))
                     for f in clip])
  if not crop:
    return clip
  if min(a - b for a, b in zip(clip.shape[1:3], crop)) < 0:
    raise BadInput(f'a crop of {crop[0]}x{crop[1]} does not fit frames of '
                   f'{clip.shape[1]}x{clip.shape[2]}: resize them first')
  top, left = ((a - b) // 2 for a, b in zip(clip.shape[1:3], crop))
  return clip[:, top:top + crop[0], left:left + crop[1]]
