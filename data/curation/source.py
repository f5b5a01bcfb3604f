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

_ALWAYS_ENCODED = ('gif',)  # an mp4 cannot hold it
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
    return _unknown(source, 'IO', f'{source.path}: {error}', error)
  if not size:
    return _unknown(source, 'EMPTY_FILE', f'{source.path} has zero bytes')
  row = {'source_id': digest, 'failure': None}
  ledger.write(places.identity(key), row)
  return row | {'uri': source.uri}


def _unknown(source, code, message, error=None):
  failure = _failed(source, '', 'identify', code, message, error)
  return {'uri': source.uri, 'source_id': '', 'failure': failure.row()}


def _failed(source, source_id, stage, code, message, error=None):
  """A Failure, by an error or not."""
  attempt = storage.attempts(error) if code == 'IO' and isinstance(error, OSError) else 1
  return Failure(source.uri, stage, code, message, source_id=source_id, attempt=attempt,
                 errno=failures.errno_of(error))


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
    row = nothing(source_id, _failed(source, source_id, 'decode', 'IO', f'{source.path}: {error}',
                                     error))
  if not any(f['retryable'] for f in row['failures']):
    ledger.write(places.source(source_id), row)
  return row


def nothing(source_id, *reasons):
  """The row of a source without clips; `reasons` are Failures."""
  return {'source_id': source_id, 'seconds': 0.0, 'facts': None, 'cuts': [], 'closed': [],
          'clips': [], 'failures': [r.row() for r in reasons]}


def _curate(places, settings, source, source_id):
  row, stage = nothing(source_id), 'probe'
  fail = lambda code, message, error=None: row['failures'].append(
      _failed(source, source_id, stage, code, message, error).row())
  try:
    facts, times = probe.probe(source.path, settings.large)
    row |= {'facts': dataclasses.asdict(facts), 'seconds': times.seconds}
    if facts.is_partial_source:
      fail('TRUNCATED', f'{source.path} ends before the time that it declares')
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
    fail(error.code, str(error))
  except VideoError as error:
    fail(failures.code_of(error), str(error), error)
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
    self.may_encode = settings.reencode or facts.codec in _ALWAYS_ENCODED
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
    if self.may_encode:
      self._encode(sorted(anew_plans + refused, key=lambda p: p.start))
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
        if error.reason != 'codec' or not self.may_encode:
          raise
        return plans
    if self.may_encode:
      return refused + list(by_start.values())
    self._fail_unread(by_start.values())
    return refused

  def _encode(self, plans):
    """Makes clips by decoding and encoding, of plans in ascending order."""
    unread = {p.start: p for p in plans}
    for plan, pts, mp4 in reencode.reencode(self.source.path, self.facts, self.times, plans):
      del unread[plan.start]
      self._keep(plan, pts, mp4, is_reencoded=True)
    self._fail_unread(unread.values())

  def _fail_unread(self, plans):
    for plan in plans:
      self._fail('CORRUPT', plan.start, 'its packets cannot be read')

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
      self._fail(failures.code_of(error), first, str(error), error)
      return True
    facts = clips.upright(self.facts) if is_reencoded else self.facts
    facts = dataclasses.replace(facts, coded_width=shown[0], coded_height=shown[1])
    if info.num_frames != len(pts) or shown != declared:
      if not self.may_encode:
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

  def _fail(self, code, ticks, message, error=None):
    seconds = float((ticks - self.times.pts[0]) * self.times.timebase)
    text = f'{self.source.uri} at {seconds:.2f} s: {message}'
    self.failures.append(_failed(self.source, self.source_id, 'clip', code, text, error).row())
