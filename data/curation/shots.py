"""From what the detectors found to clips: first shots, then stretches from keyframe to cut."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Plan:
  """A clip to be cut, in ticks.

  Attributes:
    start: first frame, a keyframe unless the clip is to be re-encoded.
    stop: no frame of the clip is shown at or after it.
    guard: ticks from the clip's first and last edge to the nearest edge of its shot.
  """
  start: int
  stop: int
  guard: tuple


def shots(times, cuts, closed):
  """What is left of a source between cuts and closed stretches.

  Args:
    times: probe.Times.
    cuts: first frame after each cut, in ticks.
    closed: [(start, stop)] in ticks that belong to no shot.

  Returns:
    [(start, stop)] ascending; the frames with start <= pts < stop are one shot.
  """
  zones = sorted([(t, t) for t in cuts] + list(closed) + [(t, t) for t in times.breaks])
  found, at = [], int(times.pts[0])
  for start, stop in zones:
    if at < start:
      found.append((at, int(start)))
    at = max(at, int(stop))
  found.append((at, times.stop))
  return [(a, min(b, times.stop)) for a, b in found if a < min(b, times.stop)]


def plan(shot, times, settings):
  """Clips of a shot: each from a keyframe to the shot's end or, in long shots, to a keyframe.

  Args:
    shot: (start, stop).
    times: probe.Times.
    settings: Settings.

  Returns:
    [Plan]; none if no keyframe lies in the shot or what follows it is too short.
  """
  a, b = shot
  longest = round(settings.max_seconds / times.timebase)
  keyframes = times.keyframes[(times.keyframes >= a) & (times.keyframes < b)]
  plans = []
  while keyframes.size:
    start = int(keyframes[0])
    within = [int(k) for k in [*keyframes[1:], b] if k - start <= longest]
    stop = within[-1] if within else start + longest
    if is_long_enough(start, stop, times, settings):
      plans.append(Plan(start, stop, (start - a, b - stop)))
    keyframes = keyframes[keyframes >= stop]
  return plans


def plan_anew(shot, times, settings):
  """Clips of a shot that is to be re-encoded: no keyframe is needed; as `plan` otherwise."""
  a, b = shot
  pts = times.pts[(times.pts >= a) & (times.pts < b)]
  return plan(shot, dataclasses.replace(times, keyframes=pts), settings)


def is_long_enough(start, stop, times, settings):
  """Whether a stretch of ticks makes a clip."""
  frames = np.count_nonzero((times.pts >= start) & (times.pts < stop))
  return frames >= 2 and float((stop - start) * times.timebase) >= settings.min_seconds - 1e-6
