"""Clips of several sizes in one run: every record has one bucket, every batch one size.

So a portrait is not cropped to a landscape, and a step is compiled once for each size. The order is
a pure function of (seed, batch), as without buckets (law 3).
"""

import functools
from typing import NamedTuple

import numpy as np

from svdjax.core.errors import BadInput
from svdjax.core.progress import Progress
from svdjax.inputs import record


class Size(NamedTuple):
  """What a clip is brought to: a number of frames and pixels."""
  frames: int
  height: int
  width: int


def sizes_of(data):
  """The Sizes of config.data: its buckets, or the one that every clip has."""
  return [Size(*size) for size in data.get('buckets', ())] or [
      Size(data.frames, data.height, data.width)]


def extents(source, schema=None):
  """record.extent of each record, read one by one, float64 [n 3]; damaged ones are (0, 1, 1)."""
  rows = np.ones((len(source), 3))
  with Progress(len(source), label='sizes of clips', unit='clips') as bar:
    for i in range(len(source)):
      try:
        rows[i] = record.extent(record.decode(source[i], schema))
      except RuntimeError:  # what a damaged record raises; reading it will say so
        rows[i, 0] = 0.
      bar.update(i + 1)
  return rows


def assign(rows, sizes, fps):
  """Which of `sizes` suits each record: the nearest shape, then the most frames it is long for.

  Args:
    rows: (seconds, height, width) of each record [n 3].
    sizes: Sizes.
    fps: frame rates, of which the highest must fit.

  Returns:
    Indices into `sizes`, int [n]; -1 for records that are too short for all sizes of their shape.
  """
  shape = np.array([np.log(s.height / s.width) for s in sizes])
  frames = np.array([s.frames for s in sizes])
  pixels = np.array([s.height * s.width for s in sizes])
  far = np.abs(np.log(rows[:, 1] / rows[:, 2])[:, None] - shape)
  near = far <= far.min(axis=1, keepdims=True) + 1e-9
  fits = (frames - 1) / max(fps) <= rows[:, :1] + 1e-6
  rank = np.where(near & fits, frames * (pixels.max() + 1) + pixels, -1)
  return np.where(rank.max(axis=1) < 0, -1, rank.argmax(axis=1))


class Order:
  """Which records make each batch: an epoch visits all of them, shuffled, in batches of one size.

  What does not fill a batch waits for another epoch, which shuffles anew; a bucket that has not
  enough for one batch fills it by repeating.

  Args:
    bucket: of each record, int [n]; -1 is never visited.
    batch_size: clips in a batch.
    seed: of the order.
  """

  def __init__(self, bucket, batch_size, seed):
    self.members = [np.flatnonzero(bucket == b) for b in np.unique(bucket[bucket >= 0])]
    self.batch_size, self.seed = batch_size, seed
    self.batches = sum(max(1, len(m) // batch_size) for m in self.members)
    self._epoch = functools.lru_cache(maxsize=2)(self._shuffled)

  def _shuffled(self, epoch):
    rng = np.random.default_rng((self.seed, epoch))
    rows = []
    for members in self.members:
      own = rng.permutation(members)
      whole = max(1, len(own) // self.batch_size) * self.batch_size
      rows.append(np.resize(own, whole).reshape(-1, self.batch_size))
    return rng.permutation(np.concatenate(rows))

  def __getitem__(self, draw):
    """The record of one draw; draws batch_size * k and following ones make batch k."""
    batch, row = divmod(draw, self.batch_size)
    epoch, at = divmod(batch, self.batches)
    return int(self._epoch(epoch)[at, row])


class Buckets:
  """The bucket of each record of a source.

  Args:
    data: config.data.
    source: serialized records.
    schema: of the records.
    known: record.extents of them; None, or another number of rows, reads all records.

  Attributes:
    sizes: Sizes.
    bucket: index of each record's, int [n]; -1 for records too short for all.

  Raises:
    BadInput: no record is long enough for any.
  """

  def __init__(self, data, source, schema=None, known=None):
    self.sizes = sizes_of(data)
    if known is None or len(known) != len(source):
      known = extents(source, schema)
    self.bucket = assign(known, self.sizes, data.fps)
    if (self.bucket < 0).all():
      raise BadInput(f'data folder {data.source} holds no clip as long as a bucket of '
                     f'config.data.buckets at {max(data.fps):g} frames a second: add one of fewer '
                     'frames')
    self._usable = np.flatnonzero(self.bucket >= 0)
    self._members = [np.flatnonzero(self.bucket == b) for b in range(len(self.sizes))]

  def size(self, index):
    """The Size of a record's clips; raises BadInput if it is too short for any."""
    if self.bucket[index] < 0:
      raise BadInput(f'record {index} is shorter than every bucket of config.data.buckets')
    return self.sizes[self.bucket[index]]

  def alike(self, index, most):
    """At most so many records of the bucket of one (or of the next that has any), from it on and
    around."""
    index = self._usable[np.searchsorted(self._usable, index) % len(self._usable)]
    members = self._members[self.bucket[index]]
    first = np.searchsorted(members, index)
    return [int(members[(first + i) % len(members)]) for i in range(min(most, len(members)))]

  def describe(self):
    """How many records each bucket has, in words."""
    counts = [int((self.bucket == b).sum()) for b in range(len(self.sizes))]
    words = [f'{s.frames}x{s.height}x{s.width}: {n}' for s, n in zip(self.sizes, counts)]
    short = int((self.bucket < 0).sum())
    return 'clips by bucket: ' + ', '.join(words) + (f'; {short} too short' if short else '')
