"""Clips by decoding and encoding again, for shots that packets alone cannot be taken from."""

import io

import av
import numpy as np

from data.curation import pulse
from data.curation import timeline


def reencode(path, facts, times, plans):
  """Encodes each planned clip anew as H.264, upright and at display size.

  Args:
    path: of the source.
    facts: its Facts.
    times: its Times.
    plans: [Plan] in ascending order, apart from one another.

  Yields:
    (plan, pts, mp4): raw ticks int64 [n] of the frames, and the file's bytes.

  Raises:
    VideoError: the source cannot be opened.
  """
  remaining = list(plans)
  frames = []
  with timeline.open_source(path) as (container, stream):
    encoder = None
    for pts, frame, _ in timeline.frames(container, stream):
      pulse.beat()
      while remaining and pts >= remaining[0].stop:
        if encoder:
          yield remaining[0], np.array(frames, np.int64), encoder.close()
        remaining.pop(0)
        encoder, frames = None, []
      if not remaining:
        return
      if frame is not None and pts >= remaining[0].start:
        encoder = encoder or _Encoder(facts, times)
        encoder.add(frame, pts - remaining[0].start)
        frames.append(pts)
    if encoder:
      yield remaining[0], np.array(frames, np.int64), encoder.close()


class _Encoder:
  """One mp4 in memory: x264 at crf 18 (visually lossless).

  One thread and no mbtree, both of which give other bytes from run to run.
  """

  def __init__(self, facts, times):
    self._file, self._timebase = io.BytesIO(), times.timebase
    self._turns = -facts.rotation_deg // 90
    self._output = av.open(self._file, 'w', format='mp4')
    rate = round(len(times.pts) / times.seconds)
    self._stream = self._output.add_stream('libx264', rate=max(1, rate), options={
        'crf': '18', 'preset': 'veryfast', 'x264-params': 'mbtree=0'})
    self._stream.width, self._stream.height = (n // 2 * 2 for n in (facts.width, facts.height))
    self._stream.pix_fmt = 'yuv420p'
    self._stream.codec_context.time_base = times.timebase
    self._stream.codec_context.thread_count = 1

  def add(self, frame, pts):
    """Encodes one picture, upright, to be shown at `pts` ticks."""
    size = self._stream.width, self._stream.height
    size = size[::-1] if self._turns % 2 else size
    rgb = np.rot90(frame.to_ndarray(format='rgb24', width=size[0], height=size[1]), self._turns)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format='rgb24')
    picture.pts, picture.time_base = pts, self._timebase
    self._output.mux(self._stream.encode(picture))

  def close(self):
    self._output.mux(self._stream.encode())
    self._output.close()
    return self._file.getvalue()
