"""What svdjax.evaluate measures: a loaded checkpoint, held-out clips and its samples of them."""

import dataclasses
import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from svdjax import checkpoint, generate, preview
from svdjax.core.errors import BadInput
from svdjax.core.rng import key_of
from svdjax.inputs import pipeline
from svdjax.metrics import truth
from svdjax.metrics.suite import Extractors
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import parts as parts_lib


class Shown(NamedTuple):
  """True clips and the model's of the same, uint8 [n t h w 3], to be measured and drawn.

  Attributes:
    truths: the true clips.
    made: the model's, of the first sampling seed.
    captions: n texts.
    beside: trivial answers, {name: clips}.
    further: the model's of each further sampling seed.
  """
  truths: np.ndarray
  made: np.ndarray
  captions: list
  beside: dict = {}
  further: tuple = ()


@dataclasses.dataclass
class Subject:
  """A loaded checkpoint and what it is measured with.

  Attributes:
    world: what can be read of generated clips; None on footage whose truth nobody knows.
    seeds: of sampling, 0 to seeds - 1.
    clips: of each seed.
    chosen: generate.Settings, None of an autoencoder.
    other: (name, Subject) that figures stand beside, or None.
    shown: Shown of the first `samples`; None before there are any.
  """
  config: object
  parts: object
  params: dict
  tokenizer: object
  world: object
  seeds: int
  clips: int
  chosen: object = None
  extractors: Extractors = Extractors()
  other: tuple | None = None
  shown: Shown | None = None

  @property
  def condition(self):
    """What the model is given, in words."""
    if self.config.task != 'denoising':
      return 'its latents'
    if self.config.conditioning.concat == 'masked':
      return 'the first and the last frame'
    return 'the first frame' if self.config.conditioning.concat else 'the caption'

  @property
  def prepared(self):
    """How `held_out` takes true clips from their records, in words: {'stride', 'resize'}."""
    stride = ('the frames nearest in time to every 1/fps s, from a random start'
              if 'views' not in self.config.data else 'views spread evenly over the orbit')
    return {'stride': stride, 'resize': {
        'real': 'where sizes differ scaled to cover, INTER_AREA down and INTER_CUBIC up, then '
                'centre crop', 'made': 'none'}}

  def held_out(self, kinds, or_others=False):
    """The first clips of the test split: (batch, truths).

    On generated clips those whose truth has one of `kinds`, if there are any; where there are none
    and `or_others`, those of all kinds.

    Raises:
      BadInput: there are none.
    """
    source = pipeline.Clips(self.config.data, 'test', 0, self.tokenizer)
    self.config.data.fps = (source.slowest(),)
    truths = source.truths()
    if not self.world or or_others and not any(t.get('kind') in kinds for t in truths):
      kinds = ()
    wanted = (i for i, t in enumerate(truths) if not kinds or t.get('kind') in kinds)
    # In place of a record that gives no clip, the next one comes, which has its own turn.
    clips = (clip for i in wanted if (clip := source.clip(i, 0))['index'] == i)
    parts = list(itertools.islice(clips, self.clips))
    if not parts:
      raise BadInput(f'data folder {self.config.data.source} has no held-out clip of kind '
                     f'{" or ".join(kinds)}: make one with `python -m data.toyworld`')
    batch = {n: np.stack([p[n] for p in parts]) for n in parts[0]}
    return batch, [truths[int(i)] for i in batch['index']]

  def sample(self, batch, seed, **inputs):
    """Clips that the model makes of a batch, uint8 [b t h w 3]; `inputs` replace the batch's."""
    if not hasattr(self, 'generator'):
      self.generator = generate.build(self.config, self.parts, self.chosen)
    given = preview.inputs_of(self.config, batch, self.tokenizer) | inputs
    made, size = [], self.config.sample.clips or 4
    for i in range(0, len(batch['video']), size):
      some = {name: x[i:i + size] for name, x in given.items()}
      key = key_of(seed, 'evaluate', i)
      made.append(np.asarray(generate.run(self.generator, self.params, some, key)))
    return np.concatenate(made)

  def samples(self, batch, truths):
    """`sample` for each seed; those of the first call are kept in `shown`."""
    made = [self.sample(batch, seed) for seed in range(self.seeds)]
    self.shown = self.shown or Shown(batch['video'], made[0], [t['caption'] for t in truths],
                                     further=tuple(made[1:]))
    return made

  def mean_clip(self, like):
    """The mean of 64 training clips as a clip, repeated: a trivial answer, like [b t h w 3]."""
    source = pipeline.Clips(self.config.data, 'train', 0, self.tokenizer)
    mean = np.mean([source.clip(i, 0)['video'] for i in range(min(64, len(source)))], axis=0)
    return np.broadcast_to(np.round(mean).astype(np.uint8), like.shape)

  def autoencoded(self, video):
    """Clips uint8 [b t h w 3] through the autoencoder: of true ones, the most to be reached."""
    return np.asarray(preview.reconstruct(self.parts, self.params, video))

  def show_beside(self, name, clips):
    """Adds a trivial answer to what is shown, like the true clips."""
    self.shown = self.shown._replace(beside=self.shown.beside | {name: clips})


def load(folder, data, **fields):
  """The Subject of a checkpoint on a data folder.

  Args:
    folder: workdir of a trained stage, or a converted checkpoint.
    data: folder with a test split.
    **fields: of Subject.

  Returns:
    (Subject, step).

  Raises:
    BadInput: as checkpoint.load.
  """
  config, params, step = checkpoint.load(folder)
  config.data.source, config.data.drop_text = data, 0.
  config.data.captions = (0., 0., 1.) if config.data.frames > 1 else (1., 0., 0.)
  config.data.crop, config.data.buckets = 'center', ()
  tokenizer = None
  if 'clip_text' in config.model:
    tokenizer = Tokenizer.load(pathlib.Path(folder) / 'assets')
  known = (pathlib.Path(data) / 'world.json').is_file()
  return Subject(config, parts_lib.build(config.model), params, tokenizer,
                 truth.load_world(data) if known else None, **fields), step
