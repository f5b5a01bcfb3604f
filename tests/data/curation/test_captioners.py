"""Captioners are models of transformers: here small ones of random weights, asked for real."""

import pytest

from data.curation import annotators, captioners
from data.toyworld import film, reel

pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')
tokenizers = pytest.importorskip('tokenizers')

_WORDS = ['<pad>', '<unk>', '<s>', '</s>', '<image>', '[UNK]', *'abcdefghij']
# A template as many language models have it: the content is text, which is joined to other text.
_OF_TEXT = ("{{ bos_token }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"
            '{% if add_generation_prompt %} assistant: {% endif %}')
_OF_PARTS = ("{{ bos_token }}{% for m in messages %}{% for part in m['content'] %}"
             "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
             '{% endfor %}{% endfor %}{% if add_generation_prompt %} assistant: {% endif %}')
_SMALL = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)


@pytest.fixture
def view(tmp_path, curated):
  """A View of a clip of two seconds."""
  made = reel.make([reel.Shot('pan', 2.2, 1)], 72, 96, 12)
  film.write(tmp_path / 'video.mp4', made.frames, 12)
  row = curated(tmp_path / 'video.mp4')
  [clip] = row.clips
  return annotators.View(clip['clip_id'], str(row.file(clip).parent), ('a bed', 'a cab', ''), 2.2,
                         'video.mp4', 0.0)


def chat_tokenizer(template):
  """A tokenizer of letters that writes <s> before each text, as most do."""
  spelled = tokenizers.Tokenizer(tokenizers.models.WordLevel(
      {word: i for i, word in enumerate(_WORDS)}, unk_token='<unk>'))
  spelled.pre_tokenizer = tokenizers.pre_tokenizers.Split('', 'isolated')
  spelled.post_processor = tokenizers.processors.TemplateProcessing(
      single='<s> $A', special_tokens=[('<s>', _WORDS.index('<s>'))])
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=spelled, bos_token='<s>', eos_token='</s>', pad_token='<pad>',
      unk_token='<unk>', extra_special_tokens={'image_token': '<image>'}, chat_template=template,
      model_input_names=['input_ids', 'attention_mask'])


def language_config():
  return transformers.LlamaConfig(vocab_size=len(_WORDS), num_key_value_heads=2, bos_token_id=2,
                                  eos_token_id=3, pad_token_id=0, **_SMALL)


def start(spec):
  """A plug-in that is set up, and a list that gets what its network is asked."""
  plugin, asked = annotators.make(annotators.parse(spec)), []
  plugin.setup()
  network = plugin._network  # pylint: disable=protected-access
  generate = network.generate
  network.generate = lambda **given: asked.append(given) or generate(**given)
  return plugin, asked


def test_a_chat_model_of_text_merges_two_captions(tmp_path, view):
  model = tmp_path / 'model'
  transformers.LlamaForCausalLM(language_config()).save_pretrained(model)
  chat_tokenizer(_OF_TEXT).save_pretrained(model)
  plugin, asked = start(f'merge_captions,model={model},tokens=5,prompt=a {{}} b {{}}')
  alone = annotators.View(**vars(view) | {'captions': ('a bed', '', '')})
  merged, none = plugin([view, alone])
  assert none == {} and merged['caption_merged_status'] in ('ok', 'truncated', 'failed')
  wanted = [_WORDS.index('<s>')] + [
      _WORDS.index(c) if c in _WORDS else 1 for c in 'user: a a bed b a cab assistant: ']
  assert asked[0]['input_ids'][0].tolist() == wanted


def test_a_chat_model_of_pictures_is_shown_eight_frames(tmp_path, view):
  config = transformers.LlavaConfig(
      vision_config=transformers.CLIPVisionConfig(image_size=16, patch_size=8, **_SMALL),
      text_config=language_config(), image_token_index=_WORDS.index('<image>'),
      vision_feature_layer=-1)
  model = tmp_path / 'model'
  transformers.LlavaForConditionalGeneration(config).save_pretrained(model)
  transformers.LlavaProcessor(
      transformers.CLIPImageProcessor(size={'height': 16, 'width': 16}, do_center_crop=False),
      chat_tokenizer(_OF_PARTS), patch_size=8, vision_feature_select_strategy='default',
      num_additional_image_tokens=1, chat_template=_OF_PARTS).save_pretrained(model)
  plugin, asked = start(f'video_caption,model={model},tokens=5')
  [row] = plugin([view])
  assert row['caption_video_status'] in ('ok', 'truncated', 'failed')
  tokens = asked[0]['input_ids'][0].tolist()
  assert tokens.count(_WORDS.index('<s>')) == 1 and tokens.count(_WORDS.index('<image>')) == 8 * 4
  assert asked[0]['pixel_values'].shape == (8, 3, 16, 16)


def test_an_image_captioner_looks_at_one_picture(tmp_path, view):
  (tmp_path / 'vocab.txt').write_text('\n'.join(
      ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '[DEC]', '[ENC]', *'abcdefghij']))
  config = transformers.BlipConfig(
      text_config=_SMALL | dict(vocab_size=17, encoder_hidden_size=16, bos_token_id=5,
                                eos_token_id=3, sep_token_id=3, pad_token_id=0),
      vision_config=_SMALL | dict(image_size=16, patch_size=8), projection_dim=16)
  model = tmp_path / 'model'
  transformers.BlipForConditionalGeneration(config).save_pretrained(model)
  transformers.BlipProcessor(
      transformers.BlipImageProcessor(size={'height': 16, 'width': 16}),
      transformers.BertTokenizer(str(tmp_path / 'vocab.txt'))).save_pretrained(model)
  plugin, _ = start(f'image_caption,model={model},tokens=5')
  assert isinstance(plugin, captioners.ImageCaption)
  [row] = plugin([view])
  assert row['caption_image_status'] in ('ok', 'truncated', 'failed')
  assert bool(row['caption_image']) == (row['caption_image_status'] != 'failed')
