"""Training batches: a pure function of (seed, step) over the records on disk (law 3).

config.data says what a clip is: `frames` at one of `fps`, of height × width pixels. Records that
cannot give such a clip (damaged, too short) are passed over for the next one and counted; more than
a share `max_damaged` of damaged ones ends the run. `buckets` are several such sizes, one for each
batch (inputs/buckets).
"""

import contextlib
import json
import threading
import warnings

import grain
import numpy as np

from svdjax.core.errors import BadInput
from svdjax.inputs import buckets, motion, orbit, record, selection, video

ENDLESS = 2 ** 48  # clips of a run: more than any reads, and an index that grain can hold
MAX_SKIPS = 100  # records in a row that give no clip before the data is called unusable


def records(folder, split):
  """Random access to the serialized records of a split.

  Raises:
    BadInput: there are none, or a shard cannot be opened.
  """
  try:
    source = grain.sources.ArrayRecordDataSource(record.shard_paths(folder, split))
  except RuntimeError as error:
    raise BadInput(f'data folder {folder} has a shard that cannot be opened ({error}): make the '
                   'folder again') from None
  if not len(source):
    raise BadInput(f'data folder {folder} holds no clip in split "{split}": add videos')
  return source


class Clips:
  """Random access to training clips, with an optional cache of decoded frames.

  Args:
    data: config.data.
    split: of the data folder.
    seed: of random choices within a clip (window, frame rate, crop, caption).
    tokenize: list of captions -> int32 [n context]; None leaves tokens out.
    folder: of the records, data.source by default.

  Attributes:
    motions: scores of all records of the folder, where clips are told any of them (any_motion).
    skipped: {record: why it gives no clip}, of those that were tried.
    damaged: of these, the numbers of those that cannot be read.

  Raises:
    BadInput: no such data, or (on use) not one usable record among MAX_SKIPS in a row, or more than
      the share data.max_damaged are damaged (one always may be).
  """

  schema = None  # of the records; record.features by default

  def __init__(self, data, split, seed, tokenize=None, folder=None):
    self.data, self.split, self.seed, self.tokenize = data, split, seed, tokenize
    folder = folder or data.source
    self.source = records(folder, split)
    self.motions = selection.motions(self.source, self.schema) if data.get('any_motion') else None
    if 'camera' in data:
      self.source = selection.filmed(self.source, data.camera, f'data folder {data.source}',
                                     self.schema)
    self.cache, self.lock, self.skipped, self.damaged = {}, threading.Lock(), {}, set()
    self.size, self.buckets = buckets.sizes_of(data)[0], None
    if data.get('buckets'):
      known = None if 'camera' in data else record.extents(folder, split)
      self.buckets = buckets.Buckets(data, self.source, self.schema, known)

  def __len__(self):
    return len(self.source)

  def slowest(self):
    """The lowest of the frame rates at which the first usable record is long enough."""
    if 'views' in self.data:
      return self.data.fps[0]
    at = int(self.clip(0, 0)['index'])
    return min(self._fitting(self._decoded(at)[0], self.size_of(at).frames))

  def size_of(self, index):
    """The buckets.Size of the clips of a record; raises BadInput if it is too short for any."""
    return self.buckets.size(index) if self.buckets else self.size

  def alike(self, index, most):
    """At most so many records whose clips have one size: from `index` on and around."""
    if self.buckets:
      return self.buckets.alike(index, most)
    return [(index + i) % len(self) for i in range(min(most, len(self)))]

  def order(self, batch_size):
    """What is random access from draws to records: each epoch visits all, shuffled."""
    if self.buckets:
      return buckets.Order(self.buckets.bucket, batch_size, self.seed)
    return grain.MapDataset.range(len(self)).seed(self.seed).shuffle().repeat()

  def _fitting(self, entry, frames):
    seconds = self._seconds(entry)
    return [f for f in self.data.fps if (frames - 1) / f <= seconds + 1e-6]

  def _seconds(self, entry):
    return entry['pts'][-1] * entry['timebase_num'] / entry['timebase_den']

  def truths(self):
    """What is true of each generated clip, a dict with its merged caption as 'caption'.

    Of real footage the caption alone.
    """
    entries = (record.decode(self.source[i]) for i in range(len(self)))
    return [(json.loads(e['truth']) if e['truth'] else {}) | {'caption': e['captions'][-1]}
            for e in entries]

  def clip(self, index, draw):
    """The clip of one record, {'video': uint8 [t h w 3], 'fps', 'motion', 'tokens', 'index'}.

    Args:
      index: which record; the next ones are tried where it gives no clip.
      draw: which of its random clips, any integer; the same integer gives the same clip.
    """
    tried = self.alike(index % len(self), MAX_SKIPS)
    for at in map(int, tried):
      try:
        return self._cut(at, np.random.default_rng((self.seed, draw)))
      except (BadInput, RuntimeError) as error:
        self._pass_over(at, error)
    raise BadInput(f'{len(tried)} records in a row of {self.data.source} give no clip; '
                   f'{self.skipped[int(tried[0])]}')

  def _pass_over(self, at, error):
    """Counts a record that gives no clip; raises BadInput if too many are damaged."""
    with self.lock:
      self.skipped.setdefault(at, f'record {at}: {error}')
      if isinstance(error, (video.VideoError, RuntimeError)):
        self.damaged.add(at)
      found = sorted(self.damaged)
    if len(found) > max(1, self.data.max_damaged * len(self)):
      raise BadInput(f'{len(found)} of {len(self)} records of {self.data.source} are damaged, more '
                     f'than {self.data.max_damaged:.2%}: {self.skipped[found[0]]}; make the data '
                     'again, or raise config.data.max_damaged')

  def _cut(self, index, rng):
    if 'views' in self.data:
      return self._around(index, rng)
    size = self.size_of(index)
    entry, frames = self._decoded(index)
    seconds, fits = self._seconds(entry), self._fitting(entry, size.frames)
    if not fits:
      raise BadInput(f'clip {entry["clip_id"]} of {seconds:.2f} s is shorter than {size.frames} '
                     f'frames at {max(self.data.fps)} frames a second: lower config.data.frames')
    fps = fits[rng.integers(len(fits))]
    told = entry['motion'] if self.motions is None else rng.choice(self.motions)
    start = rng.uniform(0., max(seconds - (size.frames - 1) / fps, 0.))
    chosen = video.sample_indices(
        entry['pts'], entry['timebase_num'] / entry['timebase_den'], start, size.frames, fps)
    return {'index': np.int64(index), 'fps': np.float32(fps - 1.),
            'motion': np.float32(motion.motion_bucket(told))
            } | self._content(entry, frames, chosen, rng, size)

  def _around(self, index, rng):
    """Views of an object from a clip that goes around it, see `inputs.orbit`."""
    data = self.data
    entry, frames = self._decoded(index)
    start = rng if self.split == 'train' else None  # held out: from the first view
    chosen, elevation = orbit.views(entry, data.frames, data.views == 'orbit', start)
    clip = {'index': np.int64(index), 'fps': np.float32(data.fps[0] - 1.),
            'motion': np.float32(127.)} | self._content(entry, frames, chosen, rng, self.size)
    return clip if elevation is None else clip | {'elevation': np.float32(elevation)}

  def _content(self, entry, frames, chosen, rng, size):
    """What a model is shown and told of the chosen frames of a record."""
    if frames is None:
      pixels = self._crop(video.decode(entry['video'], chosen), rng, size)
    else:
      pixels = self._crop(frames[chosen], rng, size)
    clip = {'video': pixels}
    if self.tokenize is not None:
      caption = self._caption_index(rng, entry['captions'])
      clip['tokens'] = self.tokenize(['' if caption is None else entry['captions'][caption]])[0]
    return clip

  def _caption_index(self, rng, captions):
    """Which of the three captions is read, None for no text: one drawn, or the first there is."""
    if rng.uniform() < self.data.drop_text:
      return None
    drawn = rng.choice(len(self.data.captions), p=self.data.captions)
    return next((i for i in (drawn, *range(len(captions))) if captions[i]), drawn)

  def _crop(self, frames, rng, size):
    """Centre crop of the covering scale, or a random crop at a random scale up to the original."""
    _, height, width = size
    if self.data.crop == 'center':
      return video.resize_crop(frames, height, width)
    h, w = frames.shape[1:3]
    cover = max(height / h, width / w)
    scale = rng.uniform(cover, max(cover, 1.))
    scaled = video.resize_crop(frames, max(height, round(h * scale)), max(width, round(w * scale)))
    top = rng.integers(scaled.shape[1] - height + 1)
    left = rng.integers(scaled.shape[2] - width + 1)
    return scaled[:, top:top + height, left:left + width]

  def _decoded(self, index):
    """The record and, with a cache, all its frames at the size that is cropped from."""
    if index in self.cache:
      return self.cache[index]
    entry = record.decode(self.source[index])
    if not self.data.cache:
      return entry, None
    frames = video.decode(entry.pop('video'))
    if self.data.crop == 'center':
      frames = video.resize_crop(frames, *self.size_of(index)[1:])
    self.cache[index] = entry, frames
    return entry, frames


def batches(clips, batch_size, step=0, threads=2, rows=None):
  """An endless iterator of batches from `step` on; clips are visited once an epoch, shuffled.

  Args:
    clips: Clips.
    batch_size: clips in a batch.
    step: how many batches to leave out at the start.
    threads: decoding threads; they do not change what comes out.
    rows: of each batch, those that this process reads, in this order; None reads all.

  Returns:
    An iterator of {field: array with a leading batch axis}.
  """
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    order = clips.order(batch_size)
    rows = range(batch_size) if rows is None else rows
    at = lambda i: i // len(rows) * batch_size + rows[i % len(rows)]
    drawn = grain.MapDataset.range(ENDLESS).map(
        lambda i: clips.clip(int(order[at(int(i))]), at(int(i))))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    iterator = iter(drawn.batch(len(rows)).to_iter_dataset(options))
  iterator.set_state({'next_index': step})
  return iterator


def eval_batch(clips, batch_size):
  """The first clips of a split (of its first one's size), always the same ones, as one batch."""
  parts = [clips.clip(int(i), int(i)) for i in clips.alike(0, batch_size)]
  return {name: np.stack([p[name] for p in parts]) for name in parts[0]}


def captions(data):
  """All captions of the training split, for a tokenizer; damaged records are left out."""
  source, found = records(data.source, 'train'), []
  for i in range(len(source)):
    with contextlib.suppress(RuntimeError):
      found += [text for text in record.decode(source[i])['captions'] if text]
  return found
