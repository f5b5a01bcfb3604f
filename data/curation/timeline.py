"""Packets of a video on one ascending timeline, whatever the file's clock does."""

import contextlib

from data.curation import pulse
from svdjax.inputs import container as container_lib

# Raw streams and GIF are opened too: the first to be refused by name, the second to be re-encoded.
DEMUXERS = container_lib.DEMUXERS + ',gif,h264,hevc'
_SLACK = 1.0  # seconds put between the ends of a clock that jumped back


@contextlib.contextmanager
def open_source(path):
  """Yields (container, stream), see `container.open_video`; also opens raw streams and GIF."""
  with container_lib.open_video(path, DEMUXERS) as opened:
    yield opened


class Timeline:
  """Moves packets whose decode time jumps back behind all earlier ones.

  Attributes:
    breaks: times, on the new timeline, at which the clock had jumped.
  """

  def __init__(self):
    self.breaks = []
    self._offset, self._latest, self._end = 0, None, None

  def place(self, packet):
    """Gives a packet its time on the timeline; returns its pts, None if it shows no picture."""
    pts = container_lib.packet_time(packet)
    if pts is None:
      return None
    if packet.dts is not None:
      if self._latest is not None and packet.dts < self._latest:
        slack = round(_SLACK / packet.time_base)
        self._offset = self._end + slack - pts
        self.breaks.append(self._end + 1)
      self._latest = packet.dts
      packet.dts += self._offset
    packet.pts = pts + self._offset
    self._end = max(packet.pts + (packet.duration or 0), self._end or 0)
    return packet.pts


def packets(container, stream):
  """Yields the stream's packets in decode order, on one timeline; FFmpeg's errors end them."""
  timeline = Timeline()
  with contextlib.suppress(container_lib.av.FFmpegError):
    for packet in container.demux(stream):
      pulse.beat()
      if timeline.place(packet) is not None:
        yield packet


def frames(container, stream):
  """Decodes on one timeline.

  Yields:
    (pts, frame, is_damaged) in presentation order; frame is None where a packet cannot be decoded.
  """
  latest = None
  for packet in _then_flush(packets(container, stream)):
    try:
      decoded = stream.codec_context.decode(packet)
    except container_lib.av.FFmpegError:
      if packet is not None:
        yield packet.pts, None, True
      continue
    for frame in decoded:
      if frame.pts is not None and (latest is None or frame.pts > latest):
        latest = frame.pts
        yield frame.pts, frame, frame.is_corrupt


def _then_flush(demuxed):
  yield from demuxed
  yield None
