"""One clip: its files and all that is known of it."""

import dataclasses
import hashlib
import io

import cv2
import numpy as np

from data.curation import flow
from data.curation import ledger
from data.curation import looks
from data.curation import text
from svdjax.inputs import container as container_lib
from svdjax.inputs.container import VideoInfo

JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip before it is measured.

  Attributes:
    plan: shots.Plan.
    pts: int64 [n] times of its frames on the source's timeline.
    mp4: the file's bytes.
    info: VideoInfo of these.
    facts: probe.Facts.
    is_reencoded: not a copy of the source's packets.
  """
  plan: object
  pts: np.ndarray
  mp4: bytes
  info: VideoInfo
  facts: object
  is_reencoded: bool


def upright(facts):
  """The Facts of what `reencode` makes of a source with `facts`."""
  return dataclasses.replace(facts, codec='h264', pix_fmt='yuv420p', rotation_deg=0, sar_num=1,
                             sar_den=1)


def coded_size(mp4):
  """((width, height) of the first picture of an mp4, the same of its header)."""
  with container_lib.open_video(mp4) as (container, stream):
    frame = next(container.decode(stream))
    return (frame.width, frame.height), (stream.width, stream.height)


def strip(pictures):
  """Three pictures uint8 [h w 3] RGB side by side, as JPEG bytes."""
  image = cv2.cvtColor(np.concatenate(pictures, axis=1), cv2.COLOR_RGB2BGR)
  return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def pictures(jpeg):
  """uint8 [3 h w 3] RGB: the pictures of `strip`."""
  image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
  return np.stack(np.split(image, 3, axis=1))


def measure(key, clip, times, found, folder):
  """Writes a clip's files and says what is known of it.

  Args:
    key: text that the clip's identity is derived from.
    clip: Clip.
    times: probe.Times of the source.
    found: analysis.Analysis of the source.
    folder: for ID.mp4, ID.jpg (first, middle and last picture) and ID.npy (flow).

  Returns:
    {field: JSON value}, see schema.features; None where nothing could be measured.
  """
  clip_id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
  inside = [i for i, s in enumerate(found.samples) if clip.pts[0] <= s.pts <= clip.pts[-1]]
  pairs = [found.samples[i] for i in inside[:-1]]
  near = [found.samples[i].motion for i in inside if found.samples[i].motion is not None
          and found.samples[i].pts < clip.pts[-1]]
  seen = [inside[0], inside[len(inside) // 2], inside[-1]]
  shown = [found.pictures(i) for i in seen]
  flows = np.stack([s.flow for s in pairs]).astype(np.float16) if pairs else np.zeros(
      (0, flow.SHORT_SIDE, flow.SHORT_SIDE, 2), np.float16)
  for suffix, data in (('mp4', clip.mp4), ('jpg', strip(shown)), ('npy', _npy(flows))):
    ledger.write_bytes(folder / f'{clip_id}.{suffix}', data)
  mean = lambda values: float(np.mean(values)) if len(values) else None
  drift = mean([s.drift for s in pairs])
  return _about(clip, times) | {
      'clip_id': clip_id, 'bytes': len(clip.mp4),
      'motion': mean(near) if near else drift,
      'motion_dis': drift, 'motion_fb16': mean([flow.magnitude(f) for f in flows]),
      'text_area': [found.samples[i].text_area for i in seen], 'text_detector': text.NAME,
      'aes_proxy': looks.looks(shown[1]).tolist(),
  }


def _npy(array):
  file = io.BytesIO()
  np.save(file, array, allow_pickle=False)
  return file.getvalue()


def _about(clip, times):
  """What the file and its place in the source say."""
  info, seconds = clip.info, lambda ticks: float(ticks * times.timebase)
  gaps = np.diff(info.pts) * float(info.timebase)
  start = seconds(int(clip.pts[0]) - int(times.pts[0]))
  facts = dataclasses.asdict(clip.facts)
  return facts | {
      'width': info.width, 'height': info.height, 'num_frames': info.num_frames,
      'pts': info.pts.tolist(), 'timebase_num': info.timebase.numerator,
      'timebase_den': info.timebase.denominator, 'fps': info.fps,
      'fps_min': float(1 / gaps.max()), 'fps_max': float(1 / gaps.min()),
      't_start': start, 't_end': start + info.duration, 'is_reencoded': clip.is_reencoded,
      'cut_guard': [seconds(n) for n in clip.plan.guard],
  }
