"""Kept clips to shards: sorted by identity, so that no order of work shows in the bytes."""

import functools
import hashlib
import json
import pathlib

from data import shard as folder_shards
from data.curation import ledger
from data.curation import schema
from svdjax.inputs import record

SHARD_BYTES = 256 * 2 ** 20


def plan(clips, test_fraction, num_shards):
  """Which clip goes where: a clip's shard is its identity modulo their number.

  Args:
    clips: [{field: value}] of the clips kept.
    test_fraction: share of sources that go to "test"; see data.shard for few clips.
    num_shards: files a split; None makes them about SHARD_BYTES.

  Returns:
    {split: [[clip, ...], ...]}, a list for each shard, sorted by clip_id.
  """
  members = {'train': [], 'test': []}
  for clip in clips:
    members[folder_shards.split_of(clip['source_id'], test_fraction)].append(clip)
  if len(clips) < folder_shards.MIN_CLIPS_TO_SPLIT or not all(members.values()):
    members = {split: list(clips) for split in members}
  return {split: _shards(split_clips, num_shards) for split, split_clips in members.items()}


def _shards(clips, num_shards):
  count = num_shards or -(-sum(c['bytes'] for c in clips) // SHARD_BYTES)
  count = max(1, min(count, len(clips)))
  shards = [[] for _ in range(count)]
  for clip in sorted(clips, key=lambda c: c['clip_id']):
    shards[int(clip['clip_id'][:16], 16) % count].append(clip)
  return shards


def _file(folder, clip_id, suffix):
  return (folder / f'{clip_id}.{suffix}').read_bytes()


def digest(planned, sources, keep, preset):
  """Hex digest of all that the shards' bytes depend on."""
  text = json.dumps([planned, {s: vars(source) for s, source in sources.items()}, keep, preset],
                    sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write(places, planned, sources, keep, preset):
  """Writes shards and metadata, unless exactly these are there.

  Args:
    places: ledger.Places.
    planned: of `plan`.
    sources: {source_id: manifest.Source}.
    keep: {clip_id: bits}.
    preset: JSON text of the rules.

  Returns:
    {split: [number of records in each shard]}.
  """
  wanted = digest(planned, sources, keep, preset)
  lengths = {split: [len(shard) for shard in shards] for split, shards in planned.items()}
  done = ledger.read(places.finished)
  if done and done['plan'] == wanted and done['files'] == files(places.output):
    return lengths
  places.finished.unlink(missing_ok=True)
  for name in files(places.output):
    (places.output / name).unlink()
  for split, shards in planned.items():
    for i, members in enumerate(shards):
      records = (schema.make(c, sources[c['source_id']], functools.partial(
          _file, places.clips(c['source_id']), c['clip_id']), keep[c['clip_id']], preset)
                 for c in members)
      name = record.shard_name(split, i, len(shards))
      record.write_shard(places.output / name, records, schema.features())
  record.write_metadata(places.output, lengths, schema=schema.features())
  ledger.write(places.finished, {'plan': wanted, 'files': files(places.output)})
  return lengths


def files(output):
  """{name: size in bytes} of the shards in a folder."""
  return {p.name: p.stat().st_size
          for p in sorted(pathlib.Path(output).glob(f'{record.NAME}-*.array_record-*'))}
