"""One decode of a source: cuts, fades, damage, flow, text and three pictures a clip."""

import dataclasses
import tempfile

from av.video.reformatter import VideoReformatter
import cv2
import numpy as np

from data.curation import cuts as cuts_lib
from data.curation import fades
from data.curation import flow
from data.curation import pulse
from data.curation import text
from data.curation import timeline
from svdjax.inputs import motion

_SMALL, _PICTURE = 256, 384  # long sides of what detectors see and of what people see
_NEAR = 1 / 8  # seconds between the frames of `motion`, see svdjax.inputs.motion


@dataclasses.dataclass
class Sample:
  """What is measured at one of the two samples a second.

  Attributes:
    pts: time in ticks.
    flow: float32 [h w 2] to the next sample on a 16-pixel grid, or None; pixels per 0.5 s.
    drift: mean flow to the next sample in frame diagonals a second (DIS at 256 px), or None.
    motion: the same to the frame 1/8 s later, or None.
    text_area: share of the picture that text covers.
  """
  pts: int
  flow: np.ndarray | None = None
  drift: float | None = None
  motion: float | None = None
  text_area: float = 0.0


@dataclasses.dataclass(frozen=True)
class Analysis:
  """What one decode found; times in ticks.

  Attributes:
    cuts: first frame after each sudden cut.
    closed: [(start, stop)] that belong to no shot: fades, slow changes and blank frames.
    damaged: times of frames that the decoder flagged.
    num_frames: frames decoded.
    samples: [Sample], two a second.
    pictures: pictures(i) -> uint8 [h w 3] RGB, upright, of sample i.
  """
  cuts: list
  closed: list
  damaged: list
  num_frames: int
  samples: list
  pictures: object


class _Spool:
  """Pictures on disk, so that a long source does not fill the memory."""

  def __init__(self):
    self._file, self._places = tempfile.TemporaryFile(), []

  def append(self, picture):
    coded = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    self._places.append((self._file.seek(0, 2), len(coded)))
    self._file.write(coded)

  def __call__(self, i):
    place, size = self._places[i]
    self._file.seek(place)
    coded = np.frombuffer(self._file.read(size), np.uint8)
    return cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB)


def _size(facts, long_side):
  """(width, height), both even, of the coded picture at display aspect and a long side."""
  width, height = facts.width, facts.height
  if facts.rotation_deg % 180:
    width, height = height, width
  scale = long_side / max(width, height)
  return tuple(max(16, round(n * scale / 2) * 2) for n in (width, height))


class _Motion:
  """Flow between samples, and from each sample to the frame shortly after it."""

  def __init__(self):
    self._seconds, self._grey, self._pending = 0.0, None, None

  def sampled(self, sample, seconds, grey):
    """A new sample; the one before it learns how far the picture has moved since."""
    if self._grey is not None:
      past, gap = self._pending_sample, seconds - self._seconds
      past.flow = flow.paper_flow(self._grey, grey) * np.float32(1 / flow.RATE / gap)
      past.drift = motion.grey_motion(self._grey, grey, gap)
    self._pending_sample, self._seconds, self._grey, self._pending = sample, seconds, grey, True

  def passed(self, seconds, small):
    """A frame between samples."""
    if self._pending and seconds >= self._seconds + _NEAR - 1e-3:
      grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
      self._pending_sample.motion = motion.grey_motion(self._grey, grey, seconds - self._seconds)
      self._pending = False


class _Watcher:
  """Everything that looks at the frames of a source, one after another."""

  def __init__(self, facts, settings):
    self.cascade, self.motion = cuts_lib.Cascade(settings.cascade), _Motion()
    self.samples, self.pictures = [], _Spool()
    self.thumbnails, self.thumbnail_pts, self.thumbnail_seconds = [], [], []
    self._small, self._large = VideoReformatter(), VideoReformatter()
    self._small_size, self._large_size = (_size(facts, side) for side in (_SMALL, _PICTURE))
    self._thumbnail = fades.thumbnail_size(*self._small_size)
    self._turns = -facts.rotation_deg // 90
    self._due = {fades.RATE: -np.inf, flow.RATE: -np.inf}

  def feed(self, pts, seconds, frame):
    """Takes the next frame, shown `seconds` after the first."""
    small = self._reformat(self._small, frame, self._small_size)
    self.cascade.feed(pts, seconds, small)
    if self._is_due(fades.RATE, seconds):
      grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
      self.thumbnails.append(cv2.resize(grey, self._thumbnail, interpolation=cv2.INTER_AREA))
      self.thumbnail_pts.append(pts)
      self.thumbnail_seconds.append(seconds)
    self.motion.passed(seconds, small)
    if self._is_due(flow.RATE, seconds):
      self._sample(pts, seconds, small, frame)

  def _is_due(self, rate, seconds):
    if seconds < self._due[rate]:
      return False
    self._due[rate] = (np.floor(seconds * rate + 1e-3) + 1) / rate - 1e-3
    return True

  def _reformat(self, reformatter, frame, size):
    return reformatter.reformat(frame, *size, 'bgr24', interpolation='FAST_BILINEAR',
                                threads=1).to_ndarray()

  def _sample(self, pts, seconds, small, frame):
    picture = self._reformat(self._large, frame, self._large_size)
    picture = np.ascontiguousarray(np.rot90(picture, self._turns))
    sample = Sample(pts, text_area=text.area(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)))
    self.motion.sampled(sample, seconds, cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
    self.samples.append(sample)
    self.pictures.append(picture)

  def closed(self, settings):
    """[(start, stop)] in ticks of fades, fast or slow, and of changes only slow detectors saw.

    A change begins before and ends after what exceeds a threshold: by one step of the cascade, and
    by two of the fades, whose steps are shorter.
    """
    found = [(2 * a - b, 2 * b - a + 1) for a, b in self.cascade.guards()] + self.cascade.bursts()
    pts = self.thumbnail_pts
    for a, b in fades.intervals(np.stack(self.thumbnails), np.array(self.thumbnail_seconds),
                                settings.fade_change):
      found.append((pts[max(a - 2, 0)], pts[min(b + 2, len(pts) - 1)] + 1))
    return sorted(found)


def analyse(path, facts, times, settings):
  """Decodes a source once.

  Args:
    path: of the file.
    facts: its Facts.
    times: its Times.
    settings: Settings.

  Returns:
    Analysis.

  Raises:
    VideoError: it cannot be opened.
  """
  cv2.setNumThreads(1)
  watcher, damaged, count, size = _Watcher(facts, settings), [], 0, None
  resized = []
  with timeline.open_source(path) as (container, stream):
    stream.codec_context.options = stream.codec_context.options | {'skip_loop_filter': 'all'}
    for pts, frame, is_damaged in timeline.frames(container, stream):
      pulse.beat()
      count += 1
      if is_damaged:
        damaged.append(pts)
      if frame is None:
        continue
      if size not in (None, (frame.width, frame.height)):
        resized.append(pts)
      size = frame.width, frame.height
      watcher.feed(pts, float((pts - times.pts[0]) * times.timebase), frame)
  if settings.whole or not watcher.samples:
    return Analysis(resized, [], damaged, count, watcher.samples, watcher.pictures)
  cuts = sorted(set(watcher.cascade.cuts()) | set(resized))
  closed = watcher.closed(settings)
  return Analysis(cuts, closed, damaged, count, watcher.samples, watcher.pictures)
