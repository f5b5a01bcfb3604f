"""What TensorBoard reads: one function per kind of record, each returning an Event to append.

Written through the `tensorboard` package alone, which has no writer for animations: an image may
be a GIF.
"""

import io

import numpy as np
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams_plugin
from tensorboard.plugins.text import metadata as text_plugin
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util


def scalars(step, wall_time, values):
  """Scalars {tag: float}; NaN and infinities stay what they are."""
  rows = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
  return _event(step, wall_time, rows)


def images(step, wall_time, values):
  """Images {tag: [h w 3] uint8}, as PNG."""
  return _event(step, wall_time, [_image(tag, encode_png(x), x) for tag, x in values.items()])


def videos(step, wall_time, values):
  """Videos {tag: ([t h w 3] uint8, frames per second)}, as GIF images that the page plays."""
  rows = [_image(tag, encode_gif(x, fps), x[0]) for tag, (x, fps) in values.items()]
  return _event(step, wall_time, rows)


def texts(step, wall_time, values):
  """Texts {tag: Markdown}."""
  rows = []
  for tag, text in values.items():
    rows.append(summary_pb2.Summary.Value(
        tag=tag, tensor=tensor_util.make_tensor_proto(np.array([text], object)),
        metadata=text_plugin.create_summary_metadata(tag, '')))
  return _event(step, wall_time, rows)


def hparams(step, wall_time, values):
  """The run's settings {name: bool, number or str; others by their str}."""
  plain = {n: v if isinstance(v, bool | int | float | str) else str(v) for n, v in values.items()}
  summary = hparams_plugin.hparams_pb(plain, start_time_secs=wall_time)
  return event_pb2.Event(step=step, wall_time=wall_time, summary=summary)


def header(wall_time):
  """The record that an event file begins with."""
  return event_pb2.Event(wall_time=wall_time, file_version='brain.Event:2')


def record(event):
  """The bytes of an event in its file."""
  stream = io.BytesIO()
  RecordWriter(stream).write(event.SerializeToString())
  return stream.getvalue()


def encode_png(image):
  """The bytes of an image [h w 3] uint8."""
  stream = io.BytesIO()
  Image.fromarray(np.asarray(image)).save(stream, 'PNG')
  return stream.getvalue()


def encode_gif(video, fps):
  """The bytes of a video [t h w 3] uint8 that repeats forever, at up to 50 frames per second.

  A GIF counts in hundredths of a second, so frames differ in length where fps does not divide 100.
  """
  frames = [Image.fromarray(frame) for frame in np.asarray(video)]
  ends = np.round(np.arange(len(frames) + 1) * 100 / min(fps, 50)).astype(int)
  stream = io.BytesIO()
  frames[0].save(stream, 'GIF', save_all=True, append_images=frames[1:], loop=0,
                 duration=(10 * np.diff(ends)).tolist())
  return stream.getvalue()


def _image(tag, encoded, pixels):
  image = summary_pb2.Summary.Image(
      height=pixels.shape[0], width=pixels.shape[1], colorspace=3, encoded_image_string=encoded)
  return summary_pb2.Summary.Value(tag=tag, image=image)


def _event(step, wall_time, rows):
  return event_pb2.Event(
      step=step, wall_time=wall_time, summary=summary_pb2.Summary(value=rows))
