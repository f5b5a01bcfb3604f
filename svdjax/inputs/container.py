"""Opening video files safely and reading their timing from packets, without a full decode."""

import contextlib
import dataclasses
import fractions
import io
import pathlib

import av
import numpy as np

from svdjax.core.errors import BadInput
from svdjax.inputs import mp4_index

# Self-contained files only: no playlists (hls, dash, concat, sdp), which name other resources.
DEMUXERS = 'mov,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf'
MAX_FRAME_PIXELS = 2 ** 25  # one 8K frame
MAX_VIDEO_PIXELS = 2 ** 41  # about nine hours of 1080p at 30 fps
MAX_INDEX = 2 ** 23  # entries of an mp4's index, 64 bytes each in memory: 30 hours with sound


class VideoError(BadInput):
  """A video that cannot be used.

  Attributes:
    reason: short code: missing, empty, not_a_video, truncated, no_video_stream, codec, too_large,
      damaged or bad_index.
  """

  def __init__(self, reason, message):
    super().__init__(message)
    self.reason = reason

  def __reduce__(self):
    return VideoError, (self.reason, str(self))


@dataclasses.dataclass(frozen=True)
class VideoInfo:
  """What a video shows: size in display pixels, and the time of each frame.

  Attributes:
    width: display width after rotation and pixel aspect ratio.
    height: display height after rotation.
    num_frames: frames shown.
    pts: [num_frames] int64 presentation times in ticks, ascending, the first 0.
    timebase: seconds a tick (Fraction).
    fps: average frames per second.
    duration: seconds from the first frame to the end of the last.
  """
  width: int
  height: int
  num_frames: int
  pts: np.ndarray
  timebase: fractions.Fraction
  fps: float
  duration: float


@dataclasses.dataclass(frozen=True)
class Layout:
  """Where things are in the file; times are raw stream ticks.

  Attributes:
    start: pts of the first frame shown.
    keyframes: [k] int64 pts of the keyframes shown, ascending.
    quarter_turns: counter-clockwise quarter turns that put decoded frames upright.
    seekable: whether the container keeps an index that seeks exactly to keyframes.
  """
  start: int
  keyframes: np.ndarray
  quarter_turns: int
  seekable: bool


def probe(source, max_pixels=MAX_VIDEO_PIXELS):
  """The VideoInfo of a video, from a scan of its packets and one decoded frame.

  Args:
    source: path of a local file, or its bytes.
    max_pixels: refuse videos of more width * height * frames.

  Raises:
    VideoError: with a `reason`, if the video cannot be used.
  """
  return scan(source, max_pixels)[0]


def describe(source):
  """What messages call a video given as path or bytes."""
  return 'video' if isinstance(source, bytes) else f'video {source}'


@contextlib.contextmanager
def open_video(source, demuxers=DEMUXERS):
  """Yields (container, stream) of a local video; FFmpeg's errors inside become VideoErrors.

  The container reads through a Python file, so no protocol is ever chosen by name.

  Args:
    source: path of a local file, or its bytes.
    demuxers: FFmpeg's names of the formats that may be opened.

  Raises:
    VideoError: missing, empty, not_a_video, truncated, too_large or no_video_stream.
  """
  name = describe(source)
  if not isinstance(source, bytes) and not pathlib.Path(source).is_file():
    raise VideoError('missing', f'{name} is not a file: check the path')
  try:
    file = io.BytesIO(source) if isinstance(source, bytes) else open(source, 'rb')
  except OSError as error:
    raise VideoError('missing', f'{name} cannot be opened: check its permissions') from error
  with file:
    head = file.read(16)
    if not head:
      raise VideoError('empty', f'{name} has zero bytes: copy it again')
    _refuse_long_index(name, file)
    file.seek(0)
    options = {'format_whitelist': demuxers, 'protocol_whitelist': 'file'}
    try:
      container = av.open(file, options=options, metadata_errors='replace')
    except (av.FFmpegError, ValueError) as error:
      raise _unreadable(name, head) from error
    with container:
      stream = _video_stream(name, container)
      try:
        yield container, stream
      except av.FFmpegError as error:
        raise VideoError('damaged', f'{name} cannot be decoded: re-encode or drop it') from error


def _refuse_long_index(name, file):
  entries = mp4_index.entries(file)
  if entries is None:
    raise VideoError('not_a_video', f'{name} has a compressed index, which is not read: re-encode '
                     'it')
  if entries > MAX_INDEX:
    raise VideoError('too_large', f'{name} has an index of {entries} entries, more than '
                     f'{MAX_INDEX}: cut it into shorter videos')


def _unreadable(name, head):
  if head[4:8] in (b'ftyp', b'moov', b'mdat', b'wide', b'free') or head[8:12] == b'AVI ' or (
      head[:4] in (b'\x1aE\xdf\xa3', b'OggS')):
    return VideoError('truncated', f'{name} is incomplete (its index is missing): copy it again')
  return VideoError('not_a_video', f'{name} is not a video file that can be read: use mp4, mov, '
                    'webm, mkv or avi')


def _video_stream(name, container):
  for stream in container.streams.video:
    if not stream.disposition & av.stream.Disposition.attached_pic:
      if stream.codec_context is None:
        raise VideoError('codec', f'{name} has an unknown codec: re-encode it as H.264')
      stream.codec_context.options = {'max_pixels': str(MAX_FRAME_PIXELS)}
      stream.codec_context.thread_count = 1
      return stream
  raise VideoError('no_video_stream', f'{name} holds no video stream, only sound or cover art: '
                   'give a file with moving pictures')


def scan(source, max_pixels=MAX_VIDEO_PIXELS):
  """Like `probe`, and also says where keyframes are.

  Returns:
    (VideoInfo, Layout)

  Raises:
    VideoError: with a `reason`, if the video cannot be used.
  """
  name = describe(source)
  with open_video(source) as (container, stream):
    if not stream.width or not stream.height:
      raise VideoError('damaged', f'{name} does not say its width and height: re-encode it')
    packets, end = _read_packets(container, stream)
    if not packets:
      raise VideoError('empty', f'{name} holds no video frames: drop it')
    width = round(stream.width * max(1, stream.sample_aspect_ratio or 1))
    pixels = width * stream.height
    if pixels > MAX_FRAME_PIXELS or pixels * len(packets) > max_pixels:
      raise VideoError('too_large', f'{name} is {width}x{stream.height} with {len(packets)} '
                       'frames, more than the limit: scale it down or cut it')
    _refuse_truncated(name, container, stream, end)
    turns = _quarter_turns(name, source)
    return _summary(container, stream, packets, turns)


def packet_time(packet):
  """Presentation time of a packet in ticks; None for packets that carry no timed picture."""
  if packet.size == 0:
    return None
  return packet.dts if packet.pts is None else packet.pts


def _read_packets(container, stream):
  """([(pts, duration, is_keyframe)] of shown video frames, end of the file's media in s)."""
  packets, end = [], 0.0
  try:
    for packet in container.demux():
      pts = packet_time(packet)
      if pts is None:
        continue
      end = max(end, float((pts + (packet.duration or 0)) * packet.time_base))
      if packet.stream_index == stream.index and not packet.is_discard:
        packets.append((pts, packet.duration or 0, packet.is_keyframe))
  except av.FFmpegError:
    pass  # what was read so far decides
  return packets, end


def _refuse_truncated(name, container, stream, end):
  if stream.duration is not None:
    declared = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
  else:  # Matroska counts it from time 0, not from the first frame
    declared = (container.duration or 0) / av.time_base
  if declared - end > max(0.25, 0.02 * declared):
    raise VideoError('truncated', f'{name} ends at {end:.2f} s but declares {declared:.2f} s: '
                     'copy it again')


def _quarter_turns(name, source):
  with open_video(source) as (container, stream):
    frame = next(container.decode(stream), None)
  if frame is None:
    raise VideoError('damaged', f'{name} holds no frame that can be decoded: drop it')
  return round(frame.rotation / 90) % 4


def _summary(container, stream, packets, quarter_turns):
  ticks = np.array([p[0] for p in packets], np.int64)
  order = np.argsort(ticks, kind='stable')
  pts = np.unique(ticks)
  step = packets[order[-1]][1] or (int(np.median(np.diff(pts))) if len(pts) > 1 else 0)
  if not step:
    step = round(1 / (stream.average_rate or 1) / stream.time_base)
  duration = float((pts[-1] - pts[0] + step) * stream.time_base)
  aspect = stream.sample_aspect_ratio or 1
  width, height = max(1, round(stream.width * aspect)), stream.height
  if quarter_turns % 2:
    width, height = height, width
  info = VideoInfo(width, height, len(pts), pts - pts[0], stream.time_base, len(pts) / duration,
                   duration)
  keyframes = np.array(sorted({p[0] for p in packets if p[2]}), np.int64)
  seekable = any(f in container.format.name for f in ('mov', 'matroska'))
  return info, Layout(int(pts[0]), keyframes, quarter_turns, seekable)
