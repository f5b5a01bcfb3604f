"""Clips whose latents and embeddings are computed already (`python -m data.encode`).

A folder of latents holds shards like those they were made from, with the same order of records, the
video replaced by what frozen networks make of it, and latents.json, which says with what networks.
"""

import functools
import json
import pathlib

from einops import rearrange
import jax
import numpy as np
import tensorflow_datasets as tfds

from svdjax.core.errors import BadInput
from svdjax.inputs import pipeline, record

META, EMPTY = 'latents.json', 'empty_text.npy'


@functools.cache
def features():
  """The fields of a record: those of record.features, and flat float16 arrays, empty if not made.

  `moments` [n h w 2z]: mean and log variance of each frame, unscaled. `text` [3 k e]: states of the
  three captions. `tokens` [n e]: CLIP's of each frame. `condition` [n h w z]: each frame's latent
  under noise of standard deviation `cond_aug` [n], as an image model conditions on.
  """
  array = lambda dtype: tfds.features.Tensor(
      shape=(None,), dtype=dtype, encoding=tfds.features.Encoding.BYTES)
  names = ('moments', 'text', 'tokens', 'condition')
  return tfds.features.FeaturesDict(
      dict(record.features()) | {name: array(np.float16) for name in names}
      | {'cond_aug': array(np.float32)})


def read_meta(folder):
  """What a folder of latents was made with: 'height', 'width', 'shapes', 'networks', 'options'.

  Raises:
    BadInput: the folder holds no latents, or not all of them yet.
  """
  path = pathlib.Path(folder) / META
  if not path.is_file():
    raise BadInput(f'latents folder {folder} has no {META}: make it with `python -m data.encode`')
  meta = json.loads(path.read_text())
  if not meta.get('finished'):
    raise BadInput(f'latents folder {folder} is not finished: run the same `python -m data.encode` '
                   'again, which goes on where it ended')
  return meta


class Clips(pipeline.Clips):
  """pipeline.Clips of a folder of latents, drawing the same windows, frame rates and captions.

  A clip has 'moments' float16 [t h w 2z] in place of 'video', 'context' [k e] in place of 'tokens'
  and, where an image conditions, its 'condition' [h w z] and 'cond_aug'.

  Args:
    config: an experiment of task denoising with data.latents.
  """

  def __init__(self, config):
    data, self.spec = config.data, config.conditioning
    self.meta = read_meta(data.latents)
    self._check(data)
    super().__init__(data, 'train', config.seed, folder=data.latents)
    self.empty = None
    if self.spec.context == 'text':
      self.empty = np.load(pathlib.Path(data.latents) / EMPTY, allow_pickle=False)

  @property
  def schema(self):
    return features()

  def _check(self, data):
    meta = self.meta
    if self.spec.context == 'ends':
      raise BadInput('config.data.latents hold one image of a clip, and this stage is conditioned '
                     'on two: leave them out')
    for name in ('height', 'width'):
      if meta[name] != data[name]:
        raise BadInput(f'config.data.latents {data.latents} were made at {name} {meta[name]}, not '
                       f'{data[name]}: set config.data.{name} or encode again')
    if data.crop != 'center':
      raise BadInput('config.data.latents needs config.data.crop=center, as they were made')
    need = ['text'] if self.spec.context == 'text' else ['tokens']
    need += ['condition'] if self.spec.concat else []
    if missing := [n for n in need if n not in meta['shapes']]:
      raise BadInput(f'config.data.latents {data.latents} lack {" and ".join(missing)}, which this '
                     'stage is conditioned on: encode again with a CLIP checkpoint')

  def check_networks(self, digests):
    """Raises BadInput unless the stage's frozen networks, {name: digest}, made these latents."""
    used = {'vae', 'clip_text' if self.spec.context == 'text' else 'clip_image'}
    for name in sorted(used & set(digests)):
      if self.meta['networks'].get(name) != digests[name]:
        raise BadInput(f'config.data.latents {self.data.latents} were made with another {name} '
                       'than this stage has: encode again with the checkpoints of config.init_from')

  def like(self, batch_size):
    """The shapes of a batch."""
    clip = {n: np.asarray(x) for n, x in self.clip(0, 0).items() if n != 'index'}
    return {n: jax.ShapeDtypeStruct((batch_size, *x.shape), x.dtype) for n, x in clip.items()}

  def _decoded(self, index):
    if index in self.cache:
      return self.cache[index]
    entry = record.decode(self.source[index], features())
    for name, shape in self.meta['shapes'].items():
      entry[name] = entry[name].reshape(-1, *shape)
    if self.data.cache:
      self.cache[index] = entry, None
    return entry, None

  def _content(self, entry, frames, chosen, rng, size):
    del frames, size
    clip, first = {'moments': entry['moments'][chosen]}, chosen[0]
    if self.spec.context == 'text':
      caption = self._caption_index(rng, entry['captions'])
      clip['context'] = self.empty if caption is None else entry['text'][caption]
    else:
      clip['context'] = rearrange(entry['tokens'][first], 'e -> 1 e')
    if self.spec.concat:
      clip |= {'condition': entry['condition'][first], 'cond_aug': entry['cond_aug'][first]}
    return clip
