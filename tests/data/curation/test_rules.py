"""Rules: exact shares whatever the ties and the order, absent scores kept."""

from hypothesis import given, strategies as st
import numpy as np
import pytest

from data.curation import rules
from svdjax.core.errors import BadInput

scores = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)),
                  min_size=1, max_size=60)


def clips_of(values):
  return [{'clip_id': f'{i:04x}', 'motion_fb16': v} for i, v in enumerate(values)]


@given(scores, st.sampled_from([12.5, 25.0, 50.0]), st.sampled_from('<>'), st.randoms())
def test_a_share_is_exact_and_does_not_depend_on_order(values, share, sign, random):
  rule = rules.parse(f'motion_fb16{sign}{share}%')
  clips = clips_of(values)
  [verdict] = rules.decide(clips, [rule])
  scored = [v is not None for v in values]
  assert verdict.scored == sum(scored)
  assert (~verdict.keep).sum() == int(sum(scored) * share / 100)
  assert all(k for k, s in zip(verdict.keep, scored) if not s)
  kept = [v for v, k in zip(values, verdict.keep) if k and v is not None]
  dropped = [v for v, k in zip(values, verdict.keep) if not k]
  if kept and dropped:
    assert max(dropped) <= min(kept) if sign == '<' else min(dropped) >= max(kept)
  shuffled = random.sample(clips, len(clips))
  [again] = rules.decide(shuffled, [rule])
  assert {c['clip_id'] for c, k in zip(shuffled, again.keep) if k} == {
      c['clip_id'] for c, k in zip(clips, verdict.keep) if k}


def test_a_number_is_a_limit():
  [low] = rules.decide(clips_of([0.1, None, 0.3]), [rules.parse('motion_fb16 < 0.2')])
  [high] = rules.decide(clips_of([0.1, None, 0.3]), [rules.parse('motion_fb16>0.1')])
  assert low.keep.tolist() == [False, True, True] and low.threshold == 0.2
  assert high.keep.tolist() == [True, True, False]


def test_bits_say_which_rule_keeps_a_clip():
  verdicts = rules.decide(clips_of([0.1, 0.5, 0.9]), [rules.parse('motion_fb16<0.2'),
                                                     rules.parse('motion_fb16>0.8')])
  assert rules.bits(verdicts, 3).tolist() == [0b10, 0b11, 0b01]
  assert rules.kept(verdicts, 3).tolist() == [False, True, False]


def test_scores_of_three_pictures():
  clip = {'text_area': [0.0, 0.2, 0.1], 'aesthetic': [4.0, 5.0, 6.0],
          'caption_sim': [[0.1, 0.1, 0.1], [0.2, 0.4, 0.3], [np.nan] * 3], 't_start': 1, 't_end': 4}
  assert rules.score_of(clip, 'text_area') == 0.2
  assert rules.score_of(clip, 'aesthetic') == 5.0
  assert rules.score_of(clip, 'clip_score') == pytest.approx(0.3)
  assert rules.score_of(clip, 'seconds') == 3
  assert np.isnan(rules.score_of({}, 'clip_score')) and np.isnan(rules.score_of({}, 'aesthetic'))


@pytest.mark.parametrize('text', ['', 'motion_fb16', 'motion_fb16<', 'unknown<1', 'fps<101%',
                                  'fps<1;2', 'fps=3'])
def test_nonsense_is_refused(text):
  with pytest.raises(BadInput, match='not understood'):
    rules.parse(text)


def test_presets_are_the_papers_and_none():
  assert rules.PRESETS['none'] == ()
  for text in rules.PRESETS['paper']:
    rules.parse(text)
