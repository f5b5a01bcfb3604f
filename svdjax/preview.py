"""Sample videos while training: fixed clips of the held-out split, beside their ground truth."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from svdjax import generate
from svdjax.core import distributed, mesh
from svdjax.core.rng import key_of
from svdjax.inputs import export, pipeline
from svdjax.core.errors import BadInput
from svdjax.metrics import quality, suite
from svdjax.metrics.figure import finite
from svdjax.models import vae
from svdjax.core.params import part
from svdjax.tasks import latents


def wanted(config):
  """Whether a stage has previews."""
  return 'vae' in config.model and bool(config.sample.clips)


def held_out(config, tokenizer):
  """A batch of the first clips of the test split (of the training split if it has none of use)."""
  data = config.data.copy_and_resolve_references()
  with data.unlocked():
    data.buckets = ()
  try:
    clips = pipeline.Clips(data, 'test', config.seed, tokenizer)
  except BadInput:
    clips = pipeline.Clips(data, 'train', config.seed, tokenizer)
  return pipeline.eval_batch(clips, config.sample.clips)


def _agreed(config, tokenizer):
  """`held_out`, or an OSError in all processes: those that went on alone would wait for the rest."""
  batch = fault = None
  try:
    batch = held_out(config, tokenizer)
  except OSError as error:
    fault = error
  if not distributed.agree(fault is None):
    raise fault or OSError('another process could not read the held-out clips')
  return batch


def inputs_of(config, batch, tokenizer):
  """Sampling inputs that belong to a batch: its captions, end frames, fps and motion."""
  clips = batch['video'].shape[0]
  inputs = {n: jnp.asarray(batch[n]) for n in ('fps', 'motion', 'tokens', 'elevation')
            if n in batch}
  for name, at in (('image', 0), ('last_image', -1)):
    inputs[name] = latents.to_float(jnp.asarray(batch['video'][:, at]))
  inputs['cond_aug'] = jnp.full(clips, 0.02 if config.conditioning.concat else 0.)  # svd_model 2.5
  if tokenizer is not None:
    inputs['empty_tokens'] = jnp.asarray(np.repeat(tokenizer(['']), clips, axis=0))
  return inputs


def clips_of(config, parts, params, batch, tokenizer):
  """What the model makes of a batch: samples, or reconstructions of an autoencoder.

  Returns:
    uint8 [b t h w 3].
  """
  if config.task == 'denoising':
    generator = generate.build(config, parts, generate.settings(config))
    return generate.run(generator, params, inputs_of(config, batch, tokenizer),
                        key_of(config.seed, 'preview'))
  return reconstruct(parts, params, batch['video'])


def reconstruct(parts, params, video):
  """Clips uint8 [b t h w 3] through the autoencoder, from the means of its posteriors."""
  apply = parts.networks['vae'].apply

  @jax.jit
  def through(params, video):
    mean, _ = vae.encode(apply, part(params, 'vae'), latents.to_float(video))
    return latents.to_uint8(vae.decode(apply, part(params, 'vae'), mean))

  return through(params, video)


def write(config, parts, params, log, step, workdir, tokenizer):
  """Writes samples and what is measured of them to the log and to workdir/samples.

  There is a film strip, ground truth above, and of clips a JSON file with the figures.
  """
  if not wanted(config):
    return
  batch = _agreed(config, tokenizer)
  made = mesh.fetch(clips_of(config, parts, params, batch, tokenizer))
  if not distributed.first():
    return
  rows, labels = [], []
  for i, (truth, sample) in enumerate(zip(batch['video'], made)):
    rows += [truth, sample]
    labels += [f'truth {i}', f'sample {i}']
    fps = float(batch['fps'][i]) + 1
    log.write_videos(step, {f'sample_{i}': (np.concatenate([truth, sample], axis=2), fps)})
  folder = workdir / 'samples'
  folder.mkdir(exist_ok=True)
  export.write_png(folder / f'{step:08d}.png', export.film_strip(rows, labels))
  if made.shape[1] > 1:
    figures = measures(config, made, batch)
    log.write_figures(step, {f'samples/{f.name}': f.values[0] for f in figures})
    report = {'step': step, 'clips': len(made), 'figures': [f.row() for f in figures]}
    (folder / f'{step:08d}.json').write_text(json.dumps(finite(report), indent=1))


def compared(config):
  """Whether clips are compared with the true ones frame by frame.

  A caption says too little of its clip for that.
  """
  return config.task != 'denoising' or config.conditioning.context != 'text'


def measures(config, made, batch):
  """Figures of sampled clips that need no network, each beside what the true clips get: [Figure].

  JAX takes no part, which other processes would have to join.
  """
  truths, fps = batch['video'], float(batch['fps'][0]) + 1
  own, true = (suite.of_clips(clips, fps, suite.Extractors()) for clips in (made, truths))
  pairs = {}
  if compared(config):
    pairs = {'psnr': quality.psnr(made, truths),
             'first_psnr': quality.psnr(made[:, :1], truths[:, :1])}
  return suite.figures(own, true, pairs, 0)
