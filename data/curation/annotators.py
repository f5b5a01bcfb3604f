"""Annotators: what plug-ins say of clips, without trusting them.

A plug-in is a class, named by a short name or `module:Class`:

  class MyAnnotator:
    fields = ('caption_image',)       # what it says, among FIELDS
    batch = 8                         # clips a call
    seconds = 600                     # may be left out: how much more than a minute a call takes
    def __init__(self, **options)     # texts from the command line
    def version(self)                 # text that changes when its answers may
    def setup(self)                   # once a process; loads weights
    def __call__(self, views)         # [View] -> [{field: value}], same length, same order
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import json

import numpy as np

from data.curation import clip as clips_lib
from data.curation import pulse
from svdjax.core.errors import BadInput
from svdjax.inputs import video

BUILT_IN = {
    'clip': 'svdjax.annotate:Clip',
    'image_caption': 'data.curation.captioners:ImageCaption',
    'video_caption': 'data.curation.captioners:VideoCaption',
    'merge_captions': 'data.curation.captioners:MergeCaptions',
    'text_area': 'data.curation.detectors:TextArea',
}
FIELDS = ('caption_image', 'caption_video', 'caption_merged', 'caption_image_status',
          'caption_video_status', 'caption_merged_status', 'clip_emb', 'caption_sim', 'aesthetic',
          'text_area', 'text_detector')
CAPTION_STATUS = {'absent': 0, 'ok': 1, 'truncated': 2, 'failed': 3, 'blocked': 4}
_FOLDERS = ('checkpoint', 'model')  # options that stand for a folder, in messages
_SHAPES = {'caption_sim': (3, 3), 'aesthetic': (3,), 'text_area': (3,), 'clip_emb': (3, None)}


@dataclasses.dataclass(frozen=True)
class View:
  """A clip as annotators see it.

  Attributes:
    clip_id: its identity.
    folder: where its files lie.
    captions: image, video and merged caption so far, "" where there is none.
    seconds: its length.
    uri: its source.
    start: where in the source it starts, in seconds.
  """
  clip_id: str
  folder: str
  captions: tuple
  seconds: float
  uri: str
  start: float

  @property
  def path(self):
    """The mp4 file."""
    return f'{self.folder}/{self.clip_id}.mp4'

  def pictures(self):
    """uint8 [3 h w 3] RGB: first, middle and last picture, upright, long side 384."""
    with open(f'{self.folder}/{self.clip_id}.jpg', 'rb') as file:
      return clips_lib.pictures(file.read())

  def frames(self, count):
    """uint8 [count h w 3] RGB: frames spread evenly over the clip, at full size."""
    info = video.probe(self.path)
    return video.decode(self.path, np.linspace(0, info.num_frames - 1, count).round().astype(int))


def parse(text):
  """'NAME[,key=value...]' -> (NAME, {key: value}).

  Raises:
    BadInput: an option is not of this form, or there is no such annotator.
  """
  name, *options = text.split(',')
  if not all('=' in o for o in options):
    raise BadInput(f'--annotate "{text}" is not understood: write NAME,key=value,key=value')
  find(name)
  return name, dict(o.split('=', 1) for o in options)


def find(name):
  """The class of an annotator: a built-in, an entry point `svdjax.annotators`, or module:Class.

  Raises:
    BadInput: there is none, or its module cannot be imported.
  """
  points = {p.name: p.value for p in importlib.metadata.entry_points(group='svdjax.annotators')}
  target = BUILT_IN.get(name) or points.get(name) or name
  module, _, attribute = target.partition(':')
  try:
    return getattr(importlib.import_module(module), attribute)
  except (ImportError, AttributeError, ValueError) as error:
    raise BadInput(f'annotator {name} cannot be loaded ({error}): use one of '
                   f'{", ".join([*BUILT_IN, *points])} or MODULE:CLASS') from error


def make(spec):
  """A plug-in of parsed text, not set up.

  Raises:
    BadInput: it does not take these options.
  """
  name, options = spec
  plugin = find(name)
  try:
    inspect.signature(plugin).bind(**options)
  except (TypeError, ValueError) as error:
    raise BadInput(f'annotator {name}: {error}: write {_usage(name, plugin)}') from error
  return plugin(**options)


def _usage(name, plugin):
  """'clip,checkpoint=DIR': an annotator with the options that it cannot do without."""
  try:
    known = inspect.signature(plugin).parameters.values()
  except (TypeError, ValueError):
    return 'MODULE:CLASS'
  needed = [p.name for p in known if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
  return ','.join([name] + [f'{n}={"DIR" if n in _FOLDERS else n.upper()}' for n in needed])


def folder_name(spec, plugin, earlier):
  """How its answers are filed: name and a digest of version, options and what it builds on.

  Args:
    spec: parsed text.
    plugin: of `make`.
    earlier: folder names of the annotators before it, whose captions it may read.
  """
  text = json.dumps([spec, plugin.version(), earlier], sort_keys=True)
  short = ''.join(c if c.isalnum() else '_' for c in spec[0])
  return f'{short}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}'


def _patience(plugin):
  return getattr(plugin, 'seconds', 0)


@functools.cache
def _ready(spec):
  """(plugin that is set up, ""), or (None, sentence) once and for all if that fails."""
  try:
    plugin = make((spec[0], dict(spec[1])))
    pulse.beat(_patience(plugin))
    plugin.setup()
  except Exception as error:  # pylint: disable=broad-exception-caught
    return None, f'setup: {type(error).__name__}: {error}'
  return plugin, ''


def annotate(spec, views):
  """Asks an annotator about a batch, and about each clip alone if the batch goes wrong.

  Args:
    spec: (name, ((key, value), ...)).
    views: [View].

  Returns:
    [row] for each view: {field: JSON value}, or {'error': sentence}.
  """
  plugin, fault = _ready(spec)
  if fault:
    return [{'error': fault}] * len(views)
  pulse.beat(_patience(plugin))
  try:
    return _checked(plugin, views)
  except Exception as error:  # pylint: disable=broad-exception-caught
    if len(views) == 1:
      return [{'error': f'{type(error).__name__}: {error}'}]
  rows = []
  for view in views:
    rows += annotate(spec, [view])
  return rows


def _checked(plugin, views):
  answers = plugin(list(views))
  if not isinstance(answers, list) or len(answers) != len(views):
    got = len(answers) if hasattr(answers, '__len__') else answers
    raise ValueError(f'{len(views)} clips were asked about, the answer has {got} rows')
  return [{name: _plain(name, value) for name, value in answer.items()} for answer in answers]


def _plain(name, value):
  """A field's value as JSON.

  Raises:
    ValueError: an unknown field or status, a wrong shape or text where numbers belong.
  """
  if name not in FIELDS:
    raise ValueError(f'field "{name}" is unknown, known are {", ".join(FIELDS)}')
  if name not in _SHAPES:
    if not isinstance(value, str):
      raise ValueError(f'field "{name}" is {type(value).__name__}, not text')
    if name.endswith('_status') and value not in CAPTION_STATUS:
      raise ValueError(f'field "{name}" is "{value}", not one of {", ".join(CAPTION_STATUS)}')
    return value
  array, shape = np.asarray(value, np.float32), _SHAPES[name]
  if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape)):
    raise ValueError(f'field "{name}" has shape {array.shape}, not {shape}')
  if name == 'caption_sim':  # a caption that is not there has no similarity
    return [[None if np.isnan(x) else float(x) for x in row] for row in array]
  if not np.isfinite(array).all():
    raise ValueError(f'field "{name}" is not finite')
  return array.tolist()
