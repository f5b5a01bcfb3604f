"""Captions by models of `transformers`, from a folder or hub name that the user gives.

  --annotate image_caption,model=DIR --annotate video_caption,model=DIR,prompt='What happens?'
  --annotate merge_captions,model=DIR

Nothing is downloaded unless `hub=1` is given with the option.
"""

import importlib
import pathlib

from svdjax.core.errors import BadInput

_MERGE = ('One caption of a still and one of the video it is from. Write one sentence that says '
          'what both say.\nStill: {}\nVideo: {}\nSentence:')


class _Model:
  """What all captioners share: where the model is, how it is loaded and asked."""
  seconds = 1800

  def __init__(self, model, prompt='', hub='0', revision='main', tokens='40'):
    """Args:
      model: folder, or with hub=1 a name on the hub.
      prompt: text before the answer; a chat model is asked it.
      hub: '1' allows a download.
      revision: of the hub's repository.
      tokens: most tokens of an answer.

    Raises:
      BadInput: the folder is not there, `tokens` is no number, or `transformers` is missing.
    """
    if hub != '1' and not pathlib.Path(model, 'config.json').is_file():
      raise BadInput(f'captioner model {model} is not a folder with config.json: name one, or pass '
                     'hub=1 to let it be downloaded')
    if not tokens.isdigit():
      raise BadInput(f'captioner tokens={tokens} is not a number: give one, like 40')
    try:
      self._library = importlib.import_module('transformers')
    except ImportError as error:
      raise BadInput('captioners need transformers and PyTorch: pip install "svdjax[torch]"'
                     ) from error
    self.model, self.prompt, self.tokens = model, prompt, int(tokens)
    self._where = {'local_files_only': hub != '1', 'revision': revision}

  def version(self):
    """Changes with the folder's files, the revision and the library."""
    folder = pathlib.Path(self.model)
    files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns)
                   for p in folder.glob('*') if p.is_file()) if folder.is_dir() else []
    return f'{self._library.__version__} {self._where["revision"]} {self.prompt} {files}'

  def _load(self, kind):
    load = lambda name: getattr(self._library, name).from_pretrained(self.model, **self._where)
    self._processor, self._network = load('AutoProcessor'), load(kind).eval()

  def _ask(self, images, prompt):
    """The model's answer to uint8 [h w 3] pictures and a text."""
    if getattr(self._processor, 'chat_template', None):
      content = [{'type': 'image'} for _ in images] + [{'type': 'text', 'text': prompt}]
      prompt = self._processor.apply_chat_template([{'role': 'user', 'content': content}],
                                                   add_generation_prompt=True)
    given = {'images': list(images)} if len(images) else {}
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


class ImageCaption(_Model):
  """Captions the middle picture, as the paper's CoCa does; any image-to-text model."""
  fields = ('caption_image',)
  batch = 8

  def setup(self):
    """Loads the weights."""
    self._load('AutoModelForImageTextToText')

  def __call__(self, views):
    """[View] -> [{'caption_image', its status}]."""
    return [self._row('caption_image', [v.pictures()[1]], self.prompt) for v in views]


class VideoCaption(_Model):
  """Captions eight frames at once, as the paper's VideoBLIP; a chat model of many pictures."""
  fields = ('caption_video',)
  batch = 4
  frames = 8

  def setup(self):
    """Loads the weights."""
    self._load('AutoModelForImageTextToText')

  def __call__(self, views):
    """[View] -> [{'caption_video', its status}]."""
    prompt = self.prompt or 'These are frames of a video, in order. Describe what happens in it.'
    return [self._row('caption_video', v.frames(self.frames), prompt) for v in views]


class MergeCaptions(_Model):
  """Merges the image and the video caption, as the paper's language model; any text model."""
  fields = ('caption_merged',)
  batch = 16

  def setup(self):
    """Loads the weights."""
    load = lambda name: getattr(self._library, name).from_pretrained(self.model, **self._where)
    self._processor, self._network = load('AutoTokenizer'), load('AutoModelForCausalLM').eval()

  def __call__(self, views):
    """[View] -> [{'caption_merged', its status}], {} where one of the two is missing."""
    prompt = self.prompt or _MERGE
    return [self._row('caption_merged', [], prompt.format(*v.captions[:2]))
            if all(v.captions[:2]) else {} for v in views]
