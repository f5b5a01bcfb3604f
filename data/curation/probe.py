"""What a source is, from its packets and its first picture, before any long work."""

import dataclasses
import fractions

import numpy as np

from data.curation import pulse
from data.curation import timeline
from data.curation.failures import Rejected
from svdjax.inputs import container as container_lib

MAX_PIXELS = 9_000_000  # a little over 4096x2160
_HDR_TRANSFERS = (16, 18)  # H.273: PQ, HLG


@dataclasses.dataclass(frozen=True)
class Facts:
  """What the pictures of a source are; sizes in pixels, colours as codes of H.273.

  Attributes:
    width: display width, after rotation and pixel aspect ratio; `height` alike.
    rotation_deg: clockwise turn that puts the coded picture upright.
    is_partial_source: the file ends before the time it declares.
  """
  codec: str
  pix_fmt: str
  width: int
  height: int
  coded_width: int
  coded_height: int
  rotation_deg: int
  sar_num: int
  sar_den: int
  color_primaries: int
  color_transfer: int
  color_range: int
  is_hdr: bool
  is_interlaced: bool
  is_partial_source: bool


@dataclasses.dataclass(frozen=True)
class Times:
  """When frames are shown, in ticks of one ascending timeline.

  Attributes:
    pts: [n] int64 ascending times of the frames shown.
    keyframes: [k] int64, those of them that a clip can start at.
    breaks: times at which the file's clock jumped; no clip reaches across one.
    stop: end of the last frame that can be trusted.
    timebase: seconds a tick (Fraction).
  """
  pts: np.ndarray
  keyframes: np.ndarray
  breaks: tuple
  stop: int
  timebase: fractions.Fraction

  @property
  def seconds(self):
    """Length of the source."""
    return float((self.stop - self.pts[0]) * self.timebase)


def probe(path, large=False):
  """Reads the packets of a source, and decodes up to its first picture.

  Args:
    path: of the file.
    large: take frames of more than MAX_PIXELS too.

  Returns:
    (Facts, Times)

  Raises:
    VideoError: it cannot be opened or decoded.
    Rejected: NO_TIMESTAMPS, TOO_LARGE, UNREADABLE or TOO_SHORT.
  """
  with timeline.open_source(path) as (container, stream):
    if container.format.name in ('h264', 'hevc'):
      raise Rejected('NO_TIMESTAMPS', f'{path} is a raw {container.format.name} stream')
    if stream.width * stream.height > MAX_PIXELS and not large:
      raise Rejected('TOO_LARGE', f'{path} has frames of {stream.width}x{stream.height} pixels')
    packets, breaks, end = _scan(container, stream)
    if not packets:
      raise Rejected('NO_TIMESTAMPS', f'{path} has no packet with a time')
    declared = _declared(container, stream)
    is_partial = not breaks and declared - end > max(0.25, 0.02 * declared)
    times = _times(packets, breaks, stream, is_partial)
  if len(times.pts) < 2:
    raise Rejected('TOO_SHORT', f'{path} shows {len(times.pts)} frame')
  return _facts(path, is_partial), times


def _scan(container, stream):
  """([(pts, duration, is_keyframe)] of shown frames, breaks, end of all media in seconds)."""
  line, packets, end = timeline.Timeline(), [], 0.0
  try:
    for packet in container.demux():
      pulse.beat()
      if packet.stream_index == stream.index:
        pts = line.place(packet)
        if pts is not None and not packet.is_discard:
          packets.append((pts, packet.duration or 0, packet.is_keyframe))
      else:
        pts = container_lib.packet_time(packet)
      if pts is not None:
        end = max(end, float((pts + (packet.duration or 0)) * packet.time_base))
  except container_lib.av.FFmpegError:
    pass  # the file ends here
  return packets, line.breaks, end


def _declared(container, stream):
  if stream.duration is not None:
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
  return (container.duration or 0) / container_lib.av.time_base


def _times(packets, breaks, stream, is_partial):
  pts = np.unique(np.array([p[0] for p in packets], np.int64))
  keyframes = np.unique(np.array([p[0] for p in packets if p[2]], np.int64))
  step = max(packets, key=lambda p: p[0])[1]
  if not step:
    rate = stream.average_rate or 25
    step = int(np.median(np.diff(pts))) if len(pts) > 1 else round(1 / rate / stream.time_base)
  stop = int(pts[-1]) + max(1, step)
  if is_partial and len(keyframes):  # the last group of pictures may miss its end
    stop = int(keyframes[-1])
  return Times(pts, keyframes, tuple(breaks), stop, stream.time_base)


def _facts(path, is_partial):
  with timeline.open_source(path) as (container, stream):
    frame = next((f for _, f, _ in timeline.frames(container, stream) if f is not None), None)
    if frame is None:
      raise Rejected('CORRUPT', f'{path} holds no frame that can be decoded')
    sar = stream.sample_aspect_ratio or fractions.Fraction(1)
    width, height = max(1, round(frame.width * sar)), frame.height
    turn = -round(frame.rotation / 90) * 90 % 360
    if turn % 180:
      width, height = height, width
    context = stream.codec_context
    transfer = int(frame.color_trc)
    return Facts(
        codec=context.codec.canonical_name, pix_fmt=frame.format.name, width=width, height=height,
        coded_width=frame.width, coded_height=frame.height, rotation_deg=turn,
        sar_num=sar.numerator, sar_den=sar.denominator,
        color_primaries=int(frame.color_primaries), color_transfer=transfer,
        color_range=int(frame.color_range), is_hdr=transfer in _HDR_TRANSFERS,
        is_interlaced=bool(frame.interlaced_frame), is_partial_source=is_partial)
