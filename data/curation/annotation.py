"""Runs annotators over the clips of a run, and keeps what they say in the ledger."""

import contextlib
import functools
import time

from data.curation import annotators
from data.curation import engine
from data.curation import ledger
from data.curation import schema
from data.curation.failures import Failure
from svdjax.core.progress import Progress

_SAVE_EVERY = 10.0  # seconds of answers that a kill may cost, where a source has many clips


def annotate(places, collected, specs, runner):
  """Merges the answers of each annotator, in this order, into the clips.

  A clip that an annotator fails on stays without its fields and is asked about again next time.

  Args:
    places: ledger.Places.
    collected: run.Collected.
    specs: [(name, {option: value})] of annotators.parse.
    runner: as in run.collect.

  Returns:
    ([{field: value}] of all clips, [failure row]).
  """
  clips = {c['clip_id']: dict(c) for c in collected.clips}
  failures, earlier = [], []
  for spec in specs:
    plugin = annotators.make(spec)
    folder = annotators.folder_name(spec, plugin, earlier)
    answers, failed = _answers(places, collected, clips, spec, plugin, folder, runner)
    earlier.append(folder)
    failures += failed
    for clip_id, answer in answers.items():
      clip = clips[clip_id]
      clip.update(answer, annotators=clip.get('annotators', {}) | {spec[0]: folder})
  return list(clips.values()), failures


def _view(places, collected, clip):
  source = collected.sources[clip['source_id']]
  captions, _ = schema.captions_of(clip, source)
  return annotators.View(clip['clip_id'], str(places.clips(clip['source_id'])), tuple(captions),
                         clip['t_end'] - clip['t_start'], source.uri, clip['t_start'])


def _answers(places, collected, clips, spec, plugin, folder, runner):
  """({clip_id: fields} old and new, failures), the new ones written to the ledger."""
  known = {i: ledger.read(places.annotation(folder, i)) or {} for i in collected.rows}
  book = _Book(known, lambda source_id: places.annotation(folder, source_id))
  missing = [c for c in clips.values() if c['clip_id'] not in known[c['source_id']]]
  views = [_view(places, collected, c) for c in missing]
  frozen = (spec[0], tuple(sorted(spec[1].items())))
  job = functools.partial(annotators.annotate, frozen)
  batches = [tuple(views[i:i + plugin.batch]) for i in range(0, len(views), plugin.batch)]
  failed = []
  with Progress(len(views), label=spec[0]) as progress, contextlib.closing(book):
    done = 0
    for batch, rows in _isolated(job, batches, runner):
      for view, row in zip(batch, rows):
        clip = clips[view.clip_id]
        if 'error' in row:
          uri = collected.sources[clip['source_id']].uri
          failed.append(Failure(uri, spec[0], 'ANNOTATOR', row['error'], view.clip_id,
                                clip['source_id']).row())
        else:
          book.add(clip['source_id'], view.clip_id, row)
      book.save(_SAVE_EVERY)
      done += len(batch)
      progress.update(done, {'failed': len(failed)})
  return {c: row for rows in known.values() for c, row in rows.items() if c in clips}, failed


class _Book:
  """Answers by source, each source written now and then rather than with each clip.

  Args:
    answers: {source_id: {clip_id: fields}}, added to.
    place: function of a source_id, giving its file.
  """

  def __init__(self, answers, place):
    self._answers, self._place = answers, place
    self._touched, self._saved = set(), time.monotonic()

  def add(self, source_id, clip_id, row):
    self._answers[source_id][clip_id] = row
    self._touched.add(source_id)

  def save(self, every=0.0):
    """Writes the sources touched, unless the last time is less than `every` seconds ago."""
    if time.monotonic() - self._saved < every:
      return
    for source_id in sorted(self._touched):
      ledger.write(self._place(source_id), self._answers[source_id])
    self._touched, self._saved = set(), time.monotonic()

  def close(self):
    """Writes what is not written yet, when the work ends or is stopped."""
    self.save()


def _isolated(job, batches, runner):
  """Yields (batch, rows); clips of a batch that kills or hangs its worker are tried alone."""
  alone = []
  stage = runner(job)
  try:
    for batch, rows in stage.map(batches):
      if not isinstance(rows, engine.Broken):
        yield batch, rows
      elif len(batch) == 1:
        yield batch, [{'error': f'{rows.code}: {rows.message}'}]
      else:
        alone += [(view,) for view in batch]
    for batch, rows in stage.map(alone):
      broken = isinstance(rows, engine.Broken)
      yield batch, [{'error': f'{rows.code}: {rows.message}'}] if broken else rows
  finally:
    stage.close()
