"""From frames to files that people open: mp4, GIF, PNG and film strips."""

import fractions
import io
import os
import pathlib

import av
from einops import rearrange, repeat
import numpy as np
from PIL import Image, ImageDraw

from svdjax.core.errors import BadInput
from svdjax.inputs import container as container_lib

_LABEL_HEIGHT = 16


def check_writable(path):
  """Makes sure that a file can be written at `path`, making its folder; for early refusal.

  Raises:
    BadInput: the path is a folder, or its folder cannot be made or written.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise BadInput(f'output {path} is a folder: name a file inside it')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    probe = _temporary(path)
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise BadInput(f'output {path} cannot be written ({error.strerror}): choose another '
                   'place') from error


def _temporary(path):
  """A hidden neighbour of `path` with the same suffix."""
  return path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')


def _replace(path, write):
  """Runs write(temporary path), then renames; `path` is never half written."""
  check_writable(path)
  path = pathlib.Path(path)
  temporary = _temporary(path)
  try:
    write(temporary)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_mp4(path, frames, fps, metadata=None):
  """Writes an H.264 mp4 that every player opens; odd sizes gain a repeated row or column.

  Args:
    path: of the file; appears only once complete.
    frames: uint8 [t h w 3] RGB.
    fps: frames a second.
    metadata: {name: text} stored in the file, see `read_metadata`.

  Raises:
    BadInput: the path cannot be written.
  """
  _replace(path, lambda temporary: _encode_mp4(temporary, frames, fps, metadata or {}))


def _encode_mp4(path, frames, fps, metadata):
  h, w = frames.shape[1:3]
  frames = np.pad(frames, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode='edge')
  options = {'movflags': 'faststart+use_metadata_tags'}
  with av.open(str(path), 'w', format='mp4', options=options) as container:
    container.metadata.update(metadata)
    stream = container.add_stream('libx264', rate=fractions.Fraction(fps).limit_denominator(1001))
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    stream.options = {'crf': '12', 'x264-params': 'mbtree=0'}  # mbtree gives bytes by chance
    stream.codec_context.thread_count = 1  # more threads give other bytes from run to run
    for frame in frames:
      picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
      container.mux(stream.encode(picture))
    container.mux(stream.encode())


def read_metadata(path):
  """The {name: text} stored in a video file.

  Raises:
    VideoError: the file is not a video.
  """
  with container_lib.open_video(path) as (container, _):
    return dict(container.metadata)


def encode_gif(frames, fps):
  """frames uint8 [t h w 3] at `fps` frames a second -> bytes of a looping GIF."""
  images = [Image.fromarray(frame) for frame in frames]
  ends = np.round(np.arange(1, len(images) + 1) * 100 / fps).astype(int)  # GIF time: 10 ms
  durations = [int(d) * 10 for d in np.diff(ends, prepend=0)]
  file = io.BytesIO()
  images[0].save(file, 'GIF', save_all=True, append_images=images[1:], duration=durations, loop=0)
  return file.getvalue()


def write_gif(path, frames, fps):
  """Writes uint8 [t h w 3] as a looping GIF.

  Raises:
    BadInput: the path cannot be written.
  """
  data = encode_gif(frames, fps)
  _replace(path, lambda temporary: temporary.write_bytes(data))


def write_png(path, image):
  """Writes uint8 [h w 3] as a PNG.

  Raises:
    BadInput: the path cannot be written.
  """
  _replace(path, lambda temporary: Image.fromarray(image).save(temporary, 'PNG'))


def film_strip(clips, labels=None, frames=8, scale=None):
  """Lays clips out as one picture: a row for each clip, time from left to right.

  Args:
    clips: sequence of uint8 [t h w 3], all of one frame size.
    labels: a short text for each row, or None.
    frames: columns, at most as many as the longest clip has frames; spread evenly over each clip,
      first and last included.
    scale: whole enlargement by nearest neighbour; None makes frames at least 96 px wide.

  Returns:
    uint8 [height width 3].
  """
  scale = scale or max(1, -(-96 // clips[0].shape[2]))
  rows, columns = [], min(frames, max(map(len, clips)))
  for i, clip in enumerate(clips):
    picked = clip[np.round(np.linspace(0, len(clip) - 1, columns)).astype(int)]
    row = rearrange(np.asarray(picked), 't h w c -> h t w c')
    row = repeat(row, 'h t w c -> (h dy) (t w dx) c', dy=scale, dx=scale)
    if labels is not None:
      rows.append(_label(labels[i], row.shape[1]))
    rows.append(row)
  return np.concatenate(rows)


def _label(text, width):
  image = Image.new('RGB', (width, _LABEL_HEIGHT), 'white')
  ImageDraw.Draw(image).text((4, 2), text, fill='black')
  return np.asarray(image)
