import json
import subprocess
import sys

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.models.tokenizer import Tokenizer

CAPTIONS = [f'a {colour} {shape} moves {way} over a {ground} background'
            for colour in ('red', 'green', 'blue') for shape in ('circle', 'square', 'star')
            for way in ('left', 'right', 'up') for ground in ('striped', 'dotted')]
WORDS = sorted(set(' '.join(CAPTIONS).split()))
few = settings(max_examples=40, deadline=None)
TOKENIZER = Tokenizer.train(CAPTIONS, 600, context=12)


def test_words_of_the_corpus_are_one_token_each():
  ids = TOKENIZER(['a red circle moves left'])[0]
  assert (ids[1:6] < TOKENIZER.sot).all() and ids[6] == TOKENIZER.eot


@few
@given(st.lists(st.sampled_from(WORDS), max_size=10))
def test_words_of_the_corpus_return_from_decode(words):
  assert TOKENIZER.decode(TOKENIZER([' '.join(words)])[0]) == ' '.join(words)


@few
@given(st.text(st.characters(categories=['L']), min_size=1, max_size=2))
def test_any_word_is_spelt_in_bytes(word):
  tokenizer = Tokenizer.from_json(TOKENIZER.to_json().replace('"context": 12', '"context": 77'))
  clean = tokenizer.decode(tokenizer([word])[0])
  assert clean
  np.testing.assert_array_equal(tokenizer([clean]), tokenizer([word]))


@few
@given(st.text(max_size=60))
def test_a_row_is_start_tokens_end_and_zeros(caption):
  row = TOKENIZER([caption])[0]
  end = list(row).index(TOKENIZER.eot)
  assert row.dtype == np.int32 and row.shape == (12,)
  assert row[0] == TOKENIZER.sot and TOKENIZER.sot not in row[1:]
  assert not row[end + 1:].any()


def test_the_end_token_has_the_largest_id():
  assert TOKENIZER.eot == TOKENIZER.vocab_size - 1


def test_a_long_caption_keeps_its_end_token():
  long, cut = TOKENIZER(['red ' * 50, 'red ' * 10])
  assert long[-1] == TOKENIZER.eot
  np.testing.assert_array_equal(long, cut)


def test_case_and_space_do_not_matter():
  a, b = TOKENIZER(['a red circle', '  A\tRed \n circle '])
  np.testing.assert_array_equal(a, b)


def test_special_tokens_cannot_be_written_in_a_caption():
  row = TOKENIZER(['a <|endoftext|>'])[0]
  assert row[2] != TOKENIZER.eot


def test_captions_are_tokenised_one_by_one():
  together = TOKENIZER(CAPTIONS[:3])
  np.testing.assert_array_equal(together, np.concatenate([TOKENIZER([c]) for c in CAPTIONS[:3]]))


def test_training_gives_the_same_vocabulary_in_another_process_and_order():
  code = ('import json, sys; from svdjax.models.tokenizer import Tokenizer; '
          'print(Tokenizer.train(json.load(sys.stdin), 600, 12).to_json())')
  done = subprocess.run([sys.executable, '-c', code], input=json.dumps(CAPTIONS[::-1]), text=True,
                        capture_output=True, check=True)
  assert done.stdout.strip() == TOKENIZER.to_json()


def test_training_stops_at_the_vocabulary_size():
  assert Tokenizer.train(CAPTIONS, 520).vocab_size == 520


def test_saving_and_loading_change_nothing(tmp_path):
  TOKENIZER.save(tmp_path)
  assert Tokenizer.load(tmp_path).to_json() == TOKENIZER.to_json()
  assert Tokenizer.from_json(TOKENIZER.to_json()).to_json() == TOKENIZER.to_json()


def test_tokenizer_json_loads_as_vocabulary_and_merges(tmp_path):
  model = {'vocab': TOKENIZER.vocab, 'merges': [' '.join(pair) for pair in TOKENIZER.merges]}
  (tmp_path / 'tokenizer.json').write_text(json.dumps({'model': model}))
  loaded = Tokenizer.load(tmp_path)
  assert (loaded.vocab, loaded.merges, loaded.context) == (TOKENIZER.vocab, TOKENIZER.merges, 77)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
  with pytest.raises(BadInput, match='holds neither vocab.json'):
    Tokenizer.load(tmp_path)


def test_damaged_files_are_refused(tmp_path):
  TOKENIZER.save(tmp_path)
  (tmp_path / 'vocab.json').write_text('{"a": ')
  with pytest.raises(BadInput, match='not that of a CLIP tokenizer'):
    Tokenizer.load(tmp_path)


@pytest.mark.parametrize('change, message', [
    (lambda v: v.pop('<|endoftext|>'), 'lacks'),
    (lambda v: v.update(extra=9999), 'does not number'),
    (lambda v: v.update({'!': v['<|endoftext|>'], '<|endoftext|>': 0}), 'not the largest'),
    (lambda v: v.update({'absent': v.pop('red</w>')}), 'not in the vocabulary'),
])
def test_a_vocabulary_that_is_not_clips_is_refused(change, message):
  vocab = dict(TOKENIZER.vocab)
  change(vocab)
  with pytest.raises(BadInput, match=message):
    Tokenizer(vocab, TOKENIZER.merges)


def test_sizes_that_hold_nothing_are_refused():
  with pytest.raises(BadInput, match='vocab_size=100'):
    Tokenizer.train(CAPTIONS, 100)
  with pytest.raises(BadInput, match='context=2'):
    Tokenizer.train(CAPTIONS, 600, context=2)


def test_equals_transformers(tmp_path):
  transformers = pytest.importorskip('transformers')
  TOKENIZER.save(tmp_path)
  theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
  captions = [*CAPTIONS, "It's 3 o'clock, naïve ÉTÉ!", 'e\u0301te\u0301 \u3000 日本 😀 x2y', '',
              'İ ß', "we'll\nsee:they've\x00 (2-D) ..."]
  want = theirs(captions, padding='max_length', truncation=True, max_length=12,
                return_tensors='np')['input_ids']
  np.testing.assert_array_equal(TOKENIZER(captions), want)
