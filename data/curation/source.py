"""The stage functions of one source: what it is, and its clips with all that is measured."""

import dataclasses

import numpy as np

from data import cut
from data.curation import analysis
from data.curation import clip as clips
from data.curation import failures
from data.curation import ledger
from data.curation import probe
from data.curation import reencode
from data.curation import shots
from data.curation import storage
from data.curation import timeline
from data.curation.failures import Failure, Rejected
from svdjax.inputs import container as container_lib
from svdjax.inputs.container import VideoError

_MAX_DAMAGED = 0.01  # share of damaged frames above which a whole source is rejected


def identify(places, source):
  """Hashes a file, or finds the hash in the ledger.

  Args:
    places: ledger.Places.
    source: manifest.Source.

  Returns:
    {'uri', 'source_id', 'failure'}: blake2b-128 hex of the bytes, or "" and a failure's row.
  """
  key = source.key()
  known = key and ledger.read(places.identity(key))
  if known:
    return known | {'uri': source.uri}
  try:
    digest, size = storage.persistently(lambda: storage.digest(source.path))
  except OSError as error:
    return _unknown(source, 'IO', f'{source.path}: {error}')
  if not size:
    return _unknown(source, 'EMPTY_FILE', f'{source.path} has zero bytes')
  row = {'source_id': digest, 'failure': None}
  ledger.write(places.identity(key), row)
  return row | {'uri': source.uri}


def _unknown(source, code, message):
  return {'uri': source.uri, 'source_id': '',
          'failure': Failure(source.uri, 'identify', code, message).row()}


def curate(places, settings, item):
  """Curates one source: analyses it, writes its clips, and last its row in the ledger.

  Args:
    places: ledger.Places.
    settings: Settings.
    item: (manifest.Source, hex digest of its bytes).

  Returns:
    The row: {'source_id', 'seconds', 'facts', 'cuts', 'closed', 'clips', 'failures'}.
  """
  source, source_id = item
  known = ledger.read(places.source(source_id))
  if known:
    return known
  try:
    row = storage.persistently(lambda: _curate(places, settings, source, source_id))
  except OSError as error:
    row = nothing(source_id, Failure(source.uri, 'decode', 'IO', f'{source.path}: {error}'))
  if not any(f['retryable'] for f in row['failures']):
    ledger.write(places.source(source_id), row)
  return row


def nothing(source_id, *reasons):
  """The row of a source without clips; `reasons` are Failures."""
  return {'source_id': source_id, 'seconds': 0.0, 'facts': None, 'cuts': [], 'closed': [],
          'clips': [], 'failures': [r.row() for r in reasons]}


def _curate(places, settings, source, source_id):
  row, stage = nothing(source_id), 'probe'
  try:
    facts, times = probe.probe(source.path, settings.large)
    row |= {'facts': dataclasses.asdict(facts), 'seconds': times.seconds}
    if facts.is_partial_source:
      message = f'{source.path} ends before the time that it declares'
      row['failures'].append(Failure(source.uri, stage, 'TRUNCATED', message).row())
    stage = 'decode'
    found = analysis.analyse(source.path, facts, times, settings)
    _refuse_damaged(source, found, times)
    seconds = lambda t: round(float((t - times.pts[0]) * times.timebase), 6)
    row |= {'cuts': [seconds(t) for t in found.cuts],
            'closed': [[seconds(a), seconds(b)] for a, b in found.closed]}
    stage = 'clip'
    made = _Maker(places, settings, source, source_id, facts, times, found).make()
    row['clips'] = made.fields
    row['failures'] += made.failures
  except Rejected as error:
    row['failures'].append(Failure(source.uri, stage, error.code, str(error)).row())
  except VideoError as error:
    code = failures.code_of(error)
    row['failures'].append(Failure(source.uri, stage, code, str(error)).row())
  return row


def _refuse_damaged(source, found, times):
  damaged = sum(t < times.stop for t in found.damaged)  # after it, a truncated file is expected to
  if damaged > _MAX_DAMAGED * found.num_frames:
    raise Rejected('CORRUPT', f'{source.path} has {damaged} damaged of {found.num_frames} frames')


class _Maker:
  """Makes the clips of one source.

  Attributes:
    fields: [dict] of the clips made, in time order.
    failures: [dict] rows of stretches that gave no clip.
  """

  def __init__(self, places, settings, source, source_id, facts, times, found):
    self.settings, self.source, self.facts, self.times = settings, source, facts, times
    self.found, self.source_id = found, source_id
    self.folder = places.clips(source_id)
    self.fields, self.failures = [], []

  def make(self):
    """Cuts shots into clips and measures them; returns itself."""
    times, settings = self.times, self.settings
    spans = shots.shots(times, self.found.cuts, self.found.closed)
    long_enough = [s for s in spans if shots.is_long_enough(*s, times, settings)]
    if not long_enough:
      raise Rejected('TOO_SHORT', f'{self.source.path} has no shot of {settings.min_seconds:g} s')
    planned = {shot: shots.plan(shot, times, settings) for shot in long_enough}
    anew = [shot for shot, plans in planned.items() if not plans]
    copied = sorted((p for plans in planned.values() for p in plans), key=lambda p: p.start)
    anew_plans = [p for shot in anew for p in shots.plan_anew(shot, times, settings)]
    refused = self._copy(copied)
    if settings.reencode:
      anew_plans = sorted(anew_plans + refused, key=lambda p: p.start)
      for plan, pts, mp4 in reencode.reencode(self.source.path, self.facts, times, anew_plans):
        self._keep(plan, pts, mp4, is_reencoded=True)
    else:
      for plan in anew_plans:
        self._fail('NO_KEYFRAME', plan.start, 'no keyframe is followed by a long enough stretch')
    self.fields.sort(key=lambda f: f['t_start'])
    return self

  def _copy(self, plans):
    """Makes clips of packets; returns the plans that need encoding instead."""
    refused, by_start = [], {p.start: p for p in plans}
    spans = [(p.start, p.stop) for p in plans]
    with timeline.open_source(self.source.path) as (container, stream):
      packets = timeline.packets(container, stream)
      try:
        for pts, mp4 in cut.copy_spans(self.source.path, stream, packets, self.times.pts, spans):
          plan = by_start.pop(int(pts[0]))
          if not self._keep(plan, pts, mp4, is_reencoded=False):
            refused.append(plan)
      except VideoError as error:
        if error.reason != 'codec' or not self.settings.reencode:
          raise
        return plans
    return refused

  def _keep(self, plan, pts, mp4, is_reencoded):
    """Measures a clip and writes its files; False if an mp4 of copied packets does not do."""
    first, last = int(pts[0]), int(pts[-1])
    if any(first <= t <= last for t in self.found.damaged):
      self._fail('CORRUPT', first, 'the decoder flagged a frame as damaged')
      return True
    try:
      info = container_lib.probe(mp4)
      shown, declared = clips.coded_size(mp4)
    except VideoError as error:
      self._fail(failures.code_of(error), first, str(error))
      return True
    facts = clips.upright(self.facts) if is_reencoded else self.facts
    facts = dataclasses.replace(facts, coded_width=shown[0], coded_height=shown[1])
    if info.num_frames != len(pts) or shown != declared:
      if not self.settings.reencode:
        self._fail('RESIZED', first, 'packets after a change of picture size do not stand alone')
      return False
    if info.duration < self.settings.min_seconds - 0.05:
      self._fail('TOO_SHORT', first, f'{info.duration:.2f} s are left before the next shot')
      return True
    key = f'{self.source_id}|{first - self.times.pts[0]}|{last - self.times.pts[0]}'
    clip = clips.Clip(plan, pts, mp4, info, facts, is_reencoded)
    fields = clips.measure(f'{key}|{self.settings.digest()}', clip, self.times, self.found,
                           self.folder)
    self.fields.append(fields | {'source_id': self.source_id})
    return True

  def _fail(self, code, ticks, message):
    seconds = float((ticks - self.times.pts[0]) * self.times.timebase)
    text = f'{self.source.uri} at {seconds:.2f} s: {message}'
    self.failures.append(Failure(self.source.uri, 'clip', code, text).row())
