"""From video files to frames, and from frames to the size and times a model wants."""

from av.video.reformatter import VideoReformatter
import cv2
import numpy as np

from svdjax.inputs import container as container_lib
from svdjax.inputs.container import VideoError, VideoInfo, probe

__all__ = ['VideoError', 'VideoInfo', 'decode', 'probe', 'resize_crop', 'sample_indices']

MAX_DECODED_PIXELS = 2 ** 31  # about 6 GB of RGB
_MAX_GAP = 0.5  # seconds a picture may stand in for frames that fail to decode


def decode(source, indices=None, max_pixels=MAX_DECODED_PIXELS):
  """Decodes frames of a video, upright and at display size.

  A frame that the decoder leaves out shows the picture on screen at its time.

  Args:
    source: path of a local file, or its bytes.
    indices: frame numbers in presentation order (any order, repeats allowed); None for all.
    max_pixels: refuse to decode more width * height * frames.

  Returns:
    uint8 [t h w 3] RGB.

  Raises:
    VideoError: with a `reason`, if the video cannot be used or an index is outside it.
  """
  info, layout = container_lib.scan(source)
  name = container_lib.describe(source)
  indices = np.arange(info.num_frames) if indices is None else np.asarray(indices, np.int64)
  wanted = np.unique(indices)
  if wanted.size and (wanted[0] < 0 or wanted[-1] >= info.num_frames):
    raise VideoError('bad_index', f'{name} has frames 0 to {info.num_frames - 1}, not '
                     f'{wanted[0] if wanted[0] < 0 else wanted[-1]}: ask for frames it has')
  if len(indices) * info.width * info.height > max_pixels:
    raise VideoError('too_large', f'{len(indices)} frames of {info.width}x{info.height} of {name} '
                     'do not fit in memory: ask for fewer frames')
  frames = np.empty((len(wanted), info.height, info.width, 3), np.uint8)
  if wanted.size:
    _decode_into(frames, source, wanted, info, layout)
  return frames if np.array_equal(wanted, indices) else frames[np.searchsorted(wanted, indices)]


def _decode_into(frames, source, wanted, info, layout):
  """Fills frames [t h w 3] with the sorted frame numbers `wanted`."""
  ticks = layout.start + info.pts[wanted]
  gap = _MAX_GAP / info.timebase
  filled, shown, reformatter = 0, None, VideoReformatter()
  for frame in _frames_from(source, ticks[0], layout):
    while filled < len(ticks) and ticks[filled] <= frame.pts:
      on_time = shown is None or ticks[filled] == frame.pts
      picture = frame if on_time else shown
      _check_gap(source, abs(ticks[filled] - picture.pts), gap)
      frames[filled] = _to_rgb(picture, info, layout, reformatter)
      filled += 1
    if filled == len(ticks):
      return
    shown = frame
  _check_gap(source, gap + 1 if shown is None else ticks[-1] - shown.pts, gap)
  frames[filled:] = _to_rgb(shown, info, layout, reformatter)


def _check_gap(source, ticks, gap):
  if ticks > gap:
    raise VideoError('damaged', f'{container_lib.describe(source)} has a stretch that cannot be '
                     'decoded: re-encode or drop it')


def _frames_from(source, first, layout):
  """Yields decoded frames in presentation order, from at or before time `first` on."""
  keyframe = layout.keyframes[layout.keyframes <= first][-1:]
  if layout.seekable and keyframe.size and keyframe[0] > layout.start:
    with container_lib.open_video(source) as (container, stream):
      container.seek(int(keyframe[0]), stream=stream)
      frames = _timed(container.decode(stream))
      head = next(frames, None)
      if head is not None and head.pts <= first:  # the container did seek where it was asked to
        yield head
        yield from frames
        return
  with container_lib.open_video(source) as (container, stream):
    yield from _timed(container.decode(stream))


def _timed(frames):
  """Drops frames without time and those that go back in time; damage ends the stream."""
  latest = None
  while True:
    try:
      frame = next(frames, None)
    except container_lib.av.FFmpegError:
      return
    if frame is None:
      return
    if frame.pts is not None and (latest is None or frame.pts > latest):
      latest = frame.pts
      yield frame


def _to_rgb(frame, info, layout, reformatter):
  # One converter a clip, on one thread: making one for each frame takes ten times the conversion.
  turned = layout.quarter_turns % 2
  width, height = (info.height, info.width) if turned else (info.width, info.height)
  rgb = reformatter.reformat(frame, width, height, 'rgb24', threads=1).to_ndarray()
  return np.rot90(rgb, layout.quarter_turns)


def resize_crop(frames, height, width, offset=(0.5, 0.5)):
  """Scales frames to cover a size and crops the rest away.

  Args:
    frames: uint8 [t h w 3] or [h w 3].
    height: of the result, in pixels.
    width: of the result, in pixels.
    offset: (vertical, horizontal) share of the slack that is cut above and to the left.

  Returns:
    uint8 [t height width 3] or [height width 3].
  """
  if frames.ndim == 3:
    return resize_crop(frames[None], height, width, offset)[0]
  h, w = frames.shape[1:3]
  scale = max(height / h, width / w)
  big_h, big_w = max(height, round(h * scale)), max(width, round(w * scale))
  top, left = (round((big - size) * share)
               for big, size, share in zip((big_h, big_w), (height, width), offset))
  if (big_h, big_w) == (h, w):
    return frames[:, top:top + height, left:left + width]
  method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
  out = np.empty((len(frames), height, width, 3), np.uint8)
  for frame, result in zip(frames, out):
    resized = cv2.resize(frame, (big_w, big_h), interpolation=method)
    result[:] = resized[top:top + height, left:left + width]
  return out


def sample_indices(pts, timebase, start, count, fps):
  """The frames nearest in time to a regular grid; right for variable frame rates too.

  Args:
    pts: [n] ascending presentation times in ticks, the first 0.
    timebase: seconds a tick.
    start: time of the first sample, in seconds.
    count: number of samples.
    fps: samples a second.

  Returns:
    int64 [count] frame numbers, ascending; the last frame repeats past the end.
  """
  times = np.asarray(pts, np.float64) * float(timebase)
  wanted = start + np.arange(count) / fps
  after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
  after = np.minimum(after, len(times) - 1)
  before = np.maximum(after - 1, 0)
  nearer = wanted - times[before] <= times[after] - wanted
  return np.where(nearer, before, after)
