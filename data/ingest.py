"""Source videos to clips: hash, cut, measure motion, in worker processes."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import multiprocessing
import pathlib

import numpy as np
import tqdm

from data import cut
from svdjax.inputs import container as container_lib
from svdjax.inputs import motion
from svdjax.inputs import video
from svdjax.inputs.container import VideoError

_MOTION_PAIRS = 20
_PAIR_RATE = 8  # frames of a pair are 1/8 s apart
_MOTION_PIXELS = 2 ** 27  # decoded at once to measure motion


@dataclasses.dataclass(frozen=True)
class Clip:
  """A clip on its way into a shard: the record's fields without text, and where its mp4 waits."""
  path: pathlib.Path
  content: str
  fields: dict


@dataclasses.dataclass(frozen=True)
class Ingested:
  """What became of one source file.

  Attributes:
    uri: its path relative to the input folder.
    content: blake2b-128 hex of its bytes, "" if it could not be read.
    seconds: its duration, 0 if it could not be used.
    clips: the Clips cut from it, in time order.
    skipped: [(reason, sentence)] for the file or parts of it.
  """
  uri: str
  content: str
  seconds: float
  clips: list
  skipped: list


def ingest_all(root, uris, staging, max_seconds, workers):
  """Ingests every video; a file that kills its worker is tried once more alone, then skipped.

  Args:
    root: the input folder.
    uris: paths relative to it.
    staging: folder that receives the clips' mp4 files.
    max_seconds: longest clip.
    workers: processes; 0 works in this one.

  Returns:
    [Ingested] in the order of `uris`.
  """
  job = functools.partial(ingest, root, staging=staging, max_seconds=max_seconds)
  with tqdm.tqdm(total=len(uris), desc='videos', unit='file') as progress:
    if not workers:
      return [_counted(job(uri), progress) for uri in uris]
    done = _in_workers(job, uris, workers, progress)
    for uri in uris:
      if uri not in done:  # its worker died, or the pool did because of another file
        done |= _in_workers(job, [uri], 1, progress)
  crash = ('crash', 'the decoder crashes on it: re-encode or drop it')
  return [done[uri] if uri in done else Ingested(uri, '', 0.0, [], [crash]) for uri in uris]


def _counted(result, progress):
  progress.update()
  return result


def _in_workers(job, uris, workers, progress):
  """{uri: result} of the jobs whose worker lived to tell."""
  done = {}
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
    futures = {pool.submit(job, uri): uri for uri in uris}
    for future in concurrent.futures.as_completed(futures):
      if not isinstance(future.exception(), concurrent.futures.process.BrokenProcessPool):
        done[futures[future]] = _counted(future.result(), progress)
  return done


def ingest(root, uri, staging, max_seconds):
  """Cuts the video at root/uri into mp4 files under `staging`, see `ingest_all`.

  Returns:
    An Ingested; a file that cannot be used is told in `skipped`, not raised.
  """
  clips, skipped, content, seconds = [], [], '', 0.0
  path = pathlib.Path(root, uri)
  try:
    with open(path, 'rb') as file:
      content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    info, layout = container_lib.scan(path)
    if info.num_frames < 2:
      raise VideoError('too_short', f'video {path} has a single frame: a clip needs two')
    seconds = info.duration
    planned = cut.spans(info, layout, max_seconds)
    for pts, mp4 in cut.cut(path, info, layout, planned):
      if len(pts) < 2:
        continue
      try:
        clips.append(_stage(mp4, pts, layout.start, info.timebase, content, uri, staging))
      except VideoError as error:
        skipped.append((error.reason, f'{uri} at {info.timebase * int(pts[0]):.2f} s: {error}'))
    if not clips and not skipped:
      raise VideoError('too_short', f'video {path} has no two frames in a row from a keyframe on: '
                       're-encode it')
  except VideoError as error:
    skipped.append((error.reason, str(error)))
  except OSError as error:
    skipped.append(('io', f'video {path} cannot be read: {error.strerror}'))
  return Ingested(uri, content, seconds, clips, skipped)


def _stage(mp4, pts, origin, timebase, content, uri, staging):
  """Writes one clip's mp4 to the staging folder and measures it."""
  info = video.probe(mp4)
  if info.num_frames != len(pts):
    raise VideoError('damaged', f'video {uri} does not survive copying into an mp4: re-encode it')
  start = float((pts[0] - origin) * timebase)
  key = f'{content}|{pts[0] - origin}|{pts[-1] - origin}'
  clip_id = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
  fields = {
      'clip_id': clip_id, 'source_uri': uri, 'width': info.width, 'height': info.height,
      'num_frames': info.num_frames, 'pts': info.pts, 'timebase_num': info.timebase.numerator,
      'timebase_den': info.timebase.denominator, 'fps': info.fps, 't_start': start,
      't_end': start + info.duration, 'motion': clip_motion(mp4, info), 'truth': '',
  }
  path = pathlib.Path(staging, f'{clip_id}.mp4')
  path.write_bytes(mp4)
  return Clip(path, content, fields)


def clip_motion(source, info):
  """Motion score of a whole clip from frame pairs spread evenly over it.

  Args:
    source: path or bytes.
    info: its VideoInfo.

  Returns:
    float, share of the frame diagonal per second.
  """
  affordable = _MOTION_PIXELS // (2 * info.width * info.height)
  count = int(np.clip(affordable, 1, min(_MOTION_PAIRS, info.num_frames - 1)))
  times = info.pts * float(info.timebase)
  first = np.round(np.linspace(0, info.num_frames - 2, count)).astype(int)
  later = [video.sample_indices(info.pts, info.timebase, t + 1 / _PAIR_RATE, 1, _PAIR_RATE)[0]
           for t in times[first]]
  second = np.maximum(later, first + 1)
  frames = video.decode(source, np.concatenate([first, second]))
  pairs = zip(frames[:count], frames[count:], times[second] - times[first])
  return float(np.mean([motion.pair_motion(a, b, seconds) for a, b, seconds in pairs]))
