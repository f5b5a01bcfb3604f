"""Captions by models of `transformers`, from a folder or hub name that the user gives.

  --annotate image_caption,model=DIR --annotate video_caption,model=DIR,prompt='What happens?'
  --annotate merge_captions,model=DIR

Nothing is downloaded unless `hub=1` is given with the option.
"""

from data.curation import hub as hub_lib
from svdjax.core.errors import BadInput

_MERGE = ('One caption of a still and one of the video it is from. Write one sentence that says '
          'what both say.\nStill: {}\nVideo: {}\nSentence:')


class _Captioner(hub_lib.Model):
  """What all captioners share: how a model is asked."""

  def __init__(self, model, prompt='', hub='0', revision='main', tokens='40'):
    """Args:
      model, hub, revision: see hub.Model.
      prompt: text before the answer; a chat model is asked it.
      tokens: most tokens of an answer.

    Raises:
      BadInput: as hub.Model, or `tokens` is no number.
    """
    super().__init__(model, hub, revision)
    if not tokens.isdigit():
      raise BadInput(f'captioner tokens={tokens} is not a number: give one, like 40')
    self.prompt, self.tokens = prompt, int(tokens)

  def _ask(self, images, prompt):
    """The model's answer to uint8 [h w 3] pictures and a text."""
    given = {'images': list(images)} if len(images) else {}
    if getattr(self._processor, 'chat_template', None):
      parts = [{'type': 'image'} for _ in images] + [{'type': 'text', 'text': prompt}]
      asked = [{'role': 'user', 'content': parts if given else prompt}]
      prompt = self._processor.apply_chat_template(asked, tokenize=False,
                                                   add_generation_prompt=True)
      start = getattr(self._processor, 'tokenizer', self._processor).bos_token
      if start and prompt.startswith(start):  # or the processor writes it once more
        given['add_special_tokens'] = False
    inputs = self._processor(text=prompt or None, return_tensors='pt', **given)
    tokens = self._network.generate(**inputs, max_new_tokens=self.tokens, do_sample=False)[0]
    asked = inputs['input_ids'].shape[1] if 'input_ids' in inputs else 0
    echoes = not self._network.config.is_encoder_decoder and asked
    answer = tokens[asked:] if echoes and len(tokens) > asked else tokens
    text = self._processor.decode(answer, skip_special_tokens=True)
    return ' '.join(text.split()), len(answer) >= self.tokens

  def _row(self, field, images, prompt):
    text, is_cut = self._ask(images, prompt)
    status = 'failed' if not text else 'truncated' if is_cut else 'ok'
    return {field: text, f'{field}_status': status}


class ImageCaption(_Captioner):
  """Captions the middle picture, as the paper's CoCa does; any image-to-text model."""
  fields = ('caption_image',)
  batch = 8

  def setup(self):
    """Loads the weights."""
    self.load('AutoProcessor', 'AutoModelForImageTextToText')

  def __call__(self, views):
    """[View] -> [{'caption_image', its status}]."""
    return [self._row('caption_image', [v.pictures()[1]], self.prompt) for v in views]


class VideoCaption(_Captioner):
  """Captions eight frames at once, as the paper's VideoBLIP; a chat model of many pictures."""
  fields = ('caption_video',)
  batch = 4
  frames = 8

  def setup(self):
    """Loads the weights."""
    self.load('AutoProcessor', 'AutoModelForImageTextToText')

  def __call__(self, views):
    """[View] -> [{'caption_video', its status}]."""
    prompt = self.prompt or 'These are frames of a video, in order. Describe what happens in it.'
    return [self._row('caption_video', v.frames(self.frames), prompt) for v in views]


class MergeCaptions(_Captioner):
  """Merges the image and the video caption, as the paper's language model; any text model."""
  fields = ('caption_merged',)
  batch = 16

  def setup(self):
    """Loads the weights."""
    self.load('AutoTokenizer', 'AutoModelForCausalLM')

  def __call__(self, views):
    """[View] -> [{'caption_merged', its status}], {} where one of the two is missing."""
    prompt = self.prompt or _MERGE
    return [self._row('caption_merged', [], prompt.format(*v.captions[:2]))
            if all(v.captions[:2]) else {} for v in views]
