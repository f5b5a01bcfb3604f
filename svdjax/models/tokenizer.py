"""CLIP's byte-level BPE: captions to token ids, with the released vocabulary or one of our own.

The vocabulary is CLIP's layout: 256 bytes, 256 bytes that end a word ("</w>"), one token per
merge, then the start and the end token, so that the end token has the largest id.
"""

import json
import pathlib

import numpy as np
import tokenizers
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import trainers

from svdjax.core.errors import BadInput

START, END = '<|startoftext|>', '<|endoftext|>'
WORD_END = '</w>'
PAD = 0  # OpenCLIP and SD 2.1 pad with "!"; OpenAI's CLIP pads with the end token
CONTEXT = 77
WORDS = tokenizers.Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")


class Tokenizer:
  """Captions to ids; immutable.

  Attributes:
    vocab_size: the number of ids.
    context: ids per caption.
    sot, eot: the ids that open and close a caption.
  """

  def __init__(self, vocab, merges, context=CONTEXT):
    """Takes {token: id}, merges as (left, right) pairs by priority, and the ids per caption.

    Raises:
      BadInput: vocab lacks a special token, ids are not 0 … n-1 with the end token last, context
        is not in 3 … 1024, or a merge uses tokens outside the vocabulary.
    """
    if missing := [token for token in (START, END) if token not in vocab]:
      raise BadInput(f'tokenizer vocabulary lacks {missing[0]}: give a CLIP vocabulary')
    if sorted(vocab.values()) != list(range(len(vocab))):
      raise BadInput(f'tokenizer vocabulary of {len(vocab)} tokens does not number them 0 to '
                     f'{len(vocab) - 1}: give an unedited vocab.json')
    if vocab[END] != len(vocab) - 1:
      raise BadInput(f'tokenizer gives {END} the id {vocab[END]}, not the largest, at which the '
                     'text tower is read: give a CLIP vocabulary')
    if not 3 <= context <= 1024:
      raise BadInput(f'tokenizer context={context} is not in 3 to 1024: CLIP has {CONTEXT}')
    for left, right in merges:
      if not {left, right, left + right} <= vocab.keys():
        raise BadInput(f'tokenizer merge "{left} {right}" is not in the vocabulary: take vocabulary'
                       ' and merges from the same model')
    self.vocab, self.merges, self.context = vocab, [tuple(pair) for pair in merges], context
    self.vocab_size, self.sot, self.eot = len(vocab), vocab[START], vocab[END]
    self._engine = _engine(models.BPE(
        vocab=vocab, merges=self.merges, unk_token=END, end_of_word_suffix=WORD_END))

  def __call__(self, captions):
    """Token ids of a list of captions: int32 [n context].

    Captions are put in Unicode's NFC and in lower case. A row is start, tokens, end, then PAD; a
    caption that is too long loses its last tokens and keeps the end.
    """
    out = np.full((len(captions), self.context), PAD, np.int32)
    for row, encoding in zip(out, self._engine.encode_batch(list(captions))):
      ids = [self.sot, *encoding.ids[:self.context - 2], self.eot]
      row[:len(ids)] = ids
    return out

  def decode(self, ids):
    """The text of one row of ids up to its end token, words separated by one space: str."""
    words = [int(i) for i in ids if i != self.sot]
    words = words[:words.index(self.eot)] if self.eot in words else words
    return self._engine.decode(words).strip()

  @classmethod
  def train(cls, captions, vocab_size, context=CONTEXT):
    """Learns a vocabulary of at most vocab_size tokens: the same captions give the same one.

    Raises:
      BadInput: vocab_size cannot hold the 512 byte tokens and the two special ones.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    base = letters + [letter + WORD_END for letter in letters]
    if vocab_size < len(base) + 2:
      raise BadInput(f'tokenizer vocab_size={vocab_size} is too small: bytes and special tokens '
                     f'take {len(base) + 2}')
    engine = _engine(models.BPE(end_of_word_suffix=WORD_END))
    # Given as special tokens, the base has fixed ids, and with them ties between merges.
    engine.train_from_iterator(captions, trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=base, end_of_word_suffix=WORD_END,
        show_progress=False))
    merges = json.loads(engine.to_str())['model']['merges'][:vocab_size - len(base) - 2]
    tokens = [*base, *(left + right for left, right in merges), START, END]
    return cls({token: i for i, token in enumerate(tokens)}, merges, context)

  @classmethod
  def load(cls, path):
    """Reads a tokenizer folder of the diffusers layout, or one written by `save`.

    The folder holds vocab.json and merges.txt, or tokenizer.json; the context is that of
    tokenizer_config.json (`model_max_length`), 77 without one.

    Raises:
      BadInput: the files are not there, or are not those of a CLIP tokenizer.
    """
    path = pathlib.Path(path)
    try:
      vocab, merges = _read(path)
      config = path / 'tokenizer_config.json'
      context = json.loads(config.read_text())['model_max_length'] if config.exists() else CONTEXT
    except (ValueError, KeyError, TypeError) as error:
      if isinstance(error, BadInput):
        raise
      raise BadInput(f'tokenizer folder {path} is not that of a CLIP tokenizer ({error!r}): give '
                     'the "tokenizer" folder of a diffusers model') from error
    return cls(vocab, merges, context)

  def save(self, path):
    """Writes vocab.json, merges.txt and tokenizer_config.json, which transformers can read too."""
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    lines = ['#version: 0.2', *(f'{left} {right}' for left, right in self.merges)]
    (path / 'merges.txt').write_text('\n'.join(lines) + '\n', 'utf-8')
    (path / 'tokenizer_config.json').write_text(json.dumps({
        'tokenizer_class': 'CLIPTokenizer', 'model_max_length': self.context, 'bos_token': START,
        'eos_token': END, 'unk_token': END, 'pad_token': min(self.vocab, key=self.vocab.get)}))
    # Last and whole, so that a folder with it is complete even if this was killed before.
    temporary = path / 'vocab.tmp'
    temporary.write_text(json.dumps(self.vocab, ensure_ascii=False), 'utf-8')
    temporary.replace(path / 'vocab.json')

  def to_json(self):
    """All of the tokenizer as one string, which `from_json` reads."""
    return json.dumps({'context': self.context, 'vocab': sorted(self.vocab, key=self.vocab.get),
                       'merges': self.merges}, ensure_ascii=False)

  @classmethod
  def from_json(cls, text):
    """The tokenizer that `to_json` wrote."""
    state = json.loads(text)
    return cls({token: i for i, token in enumerate(state['vocab'])}, state['merges'],
               state['context'])


def _engine(model):
  """CLIP's text cleaning, splitting into words and byte alphabet around a BPE model."""
  engine = tokenizers.Tokenizer(model)
  engine.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
  engine.pre_tokenizer = pre_tokenizers.Sequence([
      pre_tokenizers.Split(WORDS, behavior='removed', invert=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
  # Ġ is the space of the byte alphabet.
  engine.decoder = decoders.Sequence([decoders.Replace(WORD_END, 'Ġ'), decoders.ByteLevel()])
  return engine


def _read(path):
  """({token: id}, [(left, right)]) of a tokenizer folder."""
  if (path / 'vocab.json').exists() and (path / 'merges.txt').exists():
    lines = (path / 'merges.txt').read_text('utf-8').split('\n')
    pairs = [line.split(' ') for line in lines if line and not line.startswith('#version')]
    return json.loads((path / 'vocab.json').read_text('utf-8')), pairs
  if not (path / 'tokenizer.json').exists():
    raise BadInput(f'tokenizer folder {path} holds neither vocab.json with merges.txt nor '
                   'tokenizer.json: give the "tokenizer" folder of a diffusers model')
  model = json.loads((path / 'tokenizer.json').read_text('utf-8'))['model']
  pairs = [pair.split(' ') if isinstance(pair, str) else pair for pair in model['merges']]
  return model['vocab'], pairs
