"""Which clips are kept: rules as text, a bit for each, decided over all clips at once."""

import dataclasses
import re

import numpy as np

from svdjax.core.errors import BadInput

# SVD, appendix E.2.2: the share of each score that the paper drops, and the final set's text rule.
# The paper has no HDR or interlaced footage to speak of; ours drops what training would misread.
PRESETS = {
    'paper': ('motion_fb16<25%', 'aesthetic<25%', 'clip_score<50%', 'text_area>0.07', 'is_hdr>0',
              'is_interlaced>0'),
    'none': (),
}
SCORES = ('motion_fb16', 'motion_dis', 'motion', 'aesthetic', 'clip_score', 'text_area', 'is_hdr',
          'is_interlaced', 'is_reencoded', 'is_partial_source', 'seconds', 'width', 'height', 'fps')
MAX_RULES = 32  # bits of the record's field `keep`


@dataclasses.dataclass(frozen=True)
class Rule:
  """Drops clips by one score.

  Attributes:
    text: as written, e.g. 'motion_fb16<25%' or 'text_area>0.07'.
    score: one of SCORES.
    below: drops low scores if true, high ones if not.
    limit: the score, or with `is_share` the share of clips in percent.
  """
  text: str
  score: str
  below: bool
  limit: float
  is_share: bool


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What a rule did.

  Attributes:
    rule: Rule.
    keep: bool [n].
    threshold: the score at which it cut, NaN if it dropped nothing.
    scored: how many clips have the score; the others are kept.
  """
  rule: Rule
  keep: np.ndarray
  threshold: float
  scored: int


def parse(text):
  """'SCORE<LIMIT', 'SCORE>LIMIT', with '%' for the lowest or highest share -> Rule.

  Raises:
    BadInput: it is none of these.
  """
  match = re.fullmatch(r'\s*(\w+)\s*([<>])\s*([0-9.eE+-]+)\s*(%?)\s*', text)
  try:
    limit = float(match[3]) if match else np.nan
  except ValueError:
    limit = np.nan
  if not match or match[1] not in SCORES or not np.isfinite(limit) or (
      match[4] and not 0 <= limit <= 100):
    raise BadInput(f'rule "{text}" is not understood: write SCORE<NUMBER or SCORE>NUMBER, or with '
                   f'a percentage for a share of all clips, SCORE one of {", ".join(SCORES)}')
  return Rule(text, match[1], match[2] == '<', limit, bool(match[4]))


def parse_all(texts):
  """[Rule] of several texts.

  Raises:
    BadInput: as `parse`, or there are more than the record has bits for.
  """
  if len(texts) > MAX_RULES:
    raise BadInput(f'--drop makes {len(texts)} rules with those of the preset: give at most '
                   f'{MAX_RULES} in all')
  return [parse(text) for text in texts]


def score_of(clip, name):
  """A clip's score, NaN where it has none.

  Text area is the largest and the aesthetic score the mean of the three pictures; `clip_score` is
  the best match of a caption, in the mean over the pictures. The paper names no such choice.
  """
  if name == 'seconds':
    return clip['t_end'] - clip['t_start']
  if name == 'clip_score':
    matches = _array(clip.get('caption_sim')).mean(axis=-1).ravel()
    matches = matches[np.isfinite(matches)]
    return float(matches.max()) if matches.size else np.nan
  values = _array(clip.get(name))
  if not values.size or np.isnan(values).any():
    return np.nan
  return float(values.max() if name == 'text_area' else values.mean())


def _array(value):
  return np.atleast_1d(np.array(np.nan if value is None else value, np.float64))


def decide(clips, rules):
  """Applies each rule by itself.

  A share is cut by rank, ties in the order of clip_id, so that exactly that share (rounded down)
  of the scored clips goes whatever the scores and in whatever order they came.

  Args:
    clips: [{field: value}] of all clips.
    rules: [Rule].

  Returns:
    [Verdict], one a rule.
  """
  ids = np.array([c['clip_id'] for c in clips], dtype=str)
  return [_decide(np.array([score_of(c, r.score) for c in clips], np.float64), ids, r)
          for r in rules]


def _decide(scores, ids, rule):
  scored = np.isfinite(scores)
  keep = np.ones(len(scores), bool)
  if rule.is_share:
    order = np.lexsort((ids, scores if rule.below else -scores))
    order = order[scored[order]]
    dropped = order[:int(len(order) * rule.limit / 100)]
  else:
    with np.errstate(invalid='ignore'):
      dropped = np.flatnonzero(scores < rule.limit if rule.below else scores > rule.limit)
  keep[dropped] = False
  threshold = np.nan
  if len(dropped):
    threshold = scores[dropped].max() if rule.below else scores[dropped].min()
  return Verdict(rule, keep, float(threshold if rule.is_share else rule.limit), int(scored.sum()))


def bits(verdicts, count):
  """uint32 [count]: bit i is set where rule i keeps the clip."""
  result = np.zeros(count, np.uint32)
  for i, verdict in enumerate(verdicts):
    result |= verdict.keep.astype(np.uint32) << np.uint32(i)
  return result


def kept(verdicts, count):
  """bool [count]: clips that every rule keeps."""
  return np.logical_and.reduce([np.ones(count, bool)] + [v.keep for v in verdicts])
