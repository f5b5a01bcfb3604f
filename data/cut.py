"""Cutting a video into clips at keyframes: packets are copied, never re-encoded."""

import io

import av
import numpy as np

from svdjax.inputs import container as container_lib
from svdjax.inputs.container import VideoError


def spans(info, layout, max_seconds):
  """Plans clips of at most `max_seconds` that each start at a keyframe.

  A span ends at a later span's keyframe; where keyframes lie further apart than `max_seconds`,
  it ends early and the frames up to the next keyframe are left out.

  Args:
    info: VideoInfo of the source.
    layout: Layout of the source.
    max_seconds: longest span, in seconds.

  Returns:
    [(start, stop)] in raw stream ticks; stop is exclusive.
  """
  limit = round(max_seconds / info.timebase)
  end = layout.start + round(info.duration / info.timebase)
  result, keyframes = [], layout.keyframes
  while keyframes.size:
    start = int(keyframes[0])
    within = [int(k) for k in [*keyframes[1:], end] if k - start <= limit]
    stop = within[-1] if within else start + limit
    result.append((start, stop))
    keyframes = keyframes[keyframes >= stop]
  return result


def cut(source, info, layout, planned):
  """Copies each planned span into an mp4 of its own with the video stream alone.

  A clip is the longest run of packets in decode order that shows every frame from its start on
  and none at or after its stop, so that nothing of the next shot leaks in.

  Args:
    source: path or bytes.
    info: VideoInfo of the source.
    layout: Layout of the source.
    planned: [(start, stop)] from `spans`.

  Yields:
    (pts, mp4): raw ticks int64 [n] of the frames kept, ascending, and the file's bytes.

  Raises:
    VideoError: `codec` if mp4 cannot hold the stream, or as in `container.open_video`.
  """
  shown = layout.start + info.pts
  with container_lib.open_video(source) as (container, stream):
    name = container_lib.describe(source)
    yield from copy_spans(name, stream, container.demux(stream), shown, planned)


def copy_spans(name, stream, packets, shown, planned):
  """`cut` for an open stream.

  Args:
    name: what messages call the video.
    stream: the video stream that the packets come from.
    packets: its packets in decode order.
    shown: [n] int64 ascending times of all frames shown, in raw ticks.
    planned: as in `cut`.

  Yields:
    As `cut`.
  """
  for start, stop, run in _runs(packets, planned):
    kept = _unbroken(run, shown[(shown >= start) & (shown < stop)])
    if kept:
      yield np.array(sorted(p.pts for p in kept), np.int64), _mux(name, stream, kept)


def _runs(demuxed, planned):
  """Yields (start, stop, packets in decode order) of each span, in one pass over the file."""
  remaining = list(planned)
  packets = None
  for packet in demuxed:
    packet.pts = container_lib.packet_time(packet)
    if packet.is_discard or packet.pts is None:
      continue
    while remaining and packet.pts >= remaining[0][1]:  # without packets its start never came
      span = remaining.pop(0)
      if packets:
        yield *span, packets
      packets = None
    if not remaining:
      return
    if packets is None and packet.is_keyframe and packet.pts == remaining[0][0]:
      packets = []
    if packets is not None and packet.pts >= remaining[0][0]:
      packets.append(packet)
  if packets:
    yield *remaining[0], packets


def _unbroken(packets, shown):
  """The longest prefix of packets whose times are the first of `shown`, without a hole."""
  good, times = 0, set()
  for count, packet in enumerate(packets, 1):
    times.add(packet.pts)
    if max(times) == shown[len(times) - 1]:
      good = count
  return packets[:good]


def _mux(name, template, packets):
  file = io.BytesIO()
  first = packets[0]
  origin = min(p.dts for p in packets if p.dts is not None) if first.dts is not None else first.pts
  try:
    with av.open(file, 'w', format='mp4') as output:
      stream = output.add_stream_from_template(template, opaque=True)
      for packet in packets:
        packet.pts -= origin
        packet.dts = None if packet.dts is None else packet.dts - origin
        packet.stream = stream
        output.mux(packet)
  except (av.FFmpegError, ValueError) as error:
    raise VideoError('codec', f'{name} uses {template.codec_context.name}, which an mp4 cannot '
                     'hold: re-encode it as H.264') from error
  return file.getvalue()
