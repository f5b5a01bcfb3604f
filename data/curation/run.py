"""The whole of a run: sources to ledger, ledger to decisions, decisions to shards."""

import dataclasses
import functools
import json

import numpy as np

from data.curation import engine
from data.curation import failures
from data.curation import ledger
from data.curation import rules as rules_lib
from data.curation import shards
from data.curation import source as source_lib
from data.curation.failures import Failure
from svdjax.core.errors import BadInput
from svdjax.core.progress import Progress


@dataclasses.dataclass(frozen=True)
class Collected:
  """What the ledger says of a run's sources.

  Attributes:
    sources: {source_id: manifest.Source} without duplicates.
    rows: {source_id: row of `source.curate`} of those that are done.
    failures: [dict] rows.
    count: sources given, duplicates among them.
  """
  sources: dict
  rows: dict
  failures: list
  count: int

  @property
  def clips(self):
    """[{field: value}] of all clips, sorted by clip_id."""
    found = [clip for row in self.rows.values() for clip in row['clips']]
    return sorted(found, key=lambda c: c['clip_id'])


def _identify_all(places, sources, runner):
  """({source_id: Source} of the first of equal files, failures)."""
  found, failed = {}, []
  job = functools.partial(source_lib.identify, places)
  identities = {}
  for source, result in _map(runner, job, sources, 'reading'):
    if isinstance(result, engine.Broken):
      failed.append(Failure(source.uri, 'identify', result.code, result.message,
                            attempt=result.attempt).row())
    elif result['failure']:
      failed.append(result['failure'])
    else:
      identities[source.uri] = result['source_id']
  for source in sorted((s for s in sources if s.uri in identities), key=lambda s: s.uri):
    first = found.setdefault(identities[source.uri], source)
    if first != source:
      message = f'{source.path} has the same bytes as {first.path}'
      failed.append(Failure(source.uri, 'identify', 'DUPLICATE', message,
                            source_id=identities[source.uri]).row())
  return found, failed


def _map(runner, job, items, label, metrics=lambda result: {}):
  """Yields (item, result) with a progress bar; `metrics` of a result are summed up and shown."""
  totals, stage = {}, runner(job)
  try:
    with Progress(len(items), label=label) as progress:
      for done, (item, result) in enumerate(stage.map(items), 1):
        if not isinstance(result, engine.Broken):
          for name, value in metrics(result).items():
            totals[name] = totals.get(name, 0) + value
        progress.update(done, totals)
        yield item, result
  finally:
    stage.close()


def _hours(rules, row):
  clips = row['clips']
  kept = rules_lib.kept(rules_lib.decide(clips, rules), len(clips))
  seconds = sum(c['t_end'] - c['t_start'] for c, k in zip(clips, kept) if k)
  return {'clips': len(clips), 'hours in': row['seconds'] / 3600, 'hours kept': seconds / 3600}


def collect(places, settings, sources, runner, rules=()):
  """Curates what the ledger does not hold yet.

  Args:
    places: ledger.Places.
    settings: Settings.
    sources: [manifest.Source].
    runner: function of a stage function, giving something with `map` and `close`, see engine.
    rules: [Rule]; the hours shown as kept are those that limits keep, shares come at the end.

  Returns:
    Collected.
  """
  found, failed = _identify_all(places, sources, runner)
  rows = {i: ledger.read(places.source(i)) for i in found}
  todo = [(source, i) for i, source in found.items() if rows[i] is None]
  job = functools.partial(source_lib.curate, places, settings)
  hours = functools.partial(_hours, [r for r in rules if not r.is_share])
  for (source, source_id), result in _map(runner, job, todo, 'curating', hours):
    if isinstance(result, engine.Broken):
      failure = Failure(source.uri, 'decode', result.code, result.message, source_id=source_id,
                        attempt=result.attempt)
      result = source_lib.nothing(source_id, failure)
      ledger.write(places.source(source_id), result)
    rows[source_id] = result
  for source_id, row in rows.items():
    failed += [f | {'uri': found[source_id].uri} for f in row['failures']]
  failed.sort(key=lambda f: (f['uri'], f['stage'], f['message']))
  return Collected(found, dict(sorted(rows.items())), failed, len(sources))


def lost(collected):
  """{uri} of sources that gave no clip and will give none next time; copies are not lost."""
  used = {collected.sources[i].uri for i, row in collected.rows.items() if row['clips']}
  return {f['uri'] for f in collected.failures
          if not f['retryable'] and f['code'] != 'DUPLICATE'} - used


def write_shards(places, collected, clips, rules, options):
  """Decides and writes the shards.

  Args:
    places: ledger.Places.
    collected: Collected.
    clips: its clips, annotations merged in.
    rules: [Rule].
    options: {'test_fraction', 'num_shards'}.

  Returns:
    ([Verdict], bool [n] clips kept, {split: shard lengths}).

  Raises:
    BadInput: no clip is left.
  """
  verdicts = rules_lib.decide(clips, rules)
  kept = rules_lib.kept(verdicts, len(clips))
  if not kept.any():
    raise BadInput(_nothing(collected, clips, verdicts))
  keep = dict(zip([c['clip_id'] for c in clips], rules_lib.bits(verdicts, len(clips)).tolist()))
  preset = json.dumps([r.text for r in rules])
  chosen = [c for c, k in zip(clips, kept) if k]
  planned = shards.plan(chosen, **options)
  keep = {c['clip_id']: keep[c['clip_id']] for c in chosen}
  used = {c['source_id']: collected.sources[c['source_id']] for c in chosen}
  return verdicts, kept, shards.write(places, planned, used, keep, preset)


def _nothing(collected, clips, verdicts):
  if clips:
    worst = min(verdicts, key=lambda v: np.count_nonzero(v.keep))
    return (f'no clip of {len(clips)} is kept; rule "{worst.rule.text}" alone leaves '
            f'{np.count_nonzero(worst.keep)}: choose another --preset')
  first = collected.failures[0]
  return (f'none of the {collected.count} sources gives a clip, the first: {first["uri"]}: '
          f'{first["code"]} ({failures.CODES[first["code"]][1]})')
