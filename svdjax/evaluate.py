"""Measures a checkpoint on held-out clips, against chance and against trivial answers.

    python -m svdjax.evaluate --checkpoint DIR --data DIR [--seeds 5] [--clips 16]
        [--i3d FILE] [--lpips FILE] [--clip CHECKPOINT]
        [--out FILE.json] [--strip FILE.png] [--page FILE.html]

On generated data (data.toyworld) colour, shape and direction are read from the frames and compared
with the truth; figures are means over sampling seeds with the spread (largest minus smallest).
"""

import argparse
import collections
import dataclasses
import pathlib

import numpy as np

from svdjax import margins
from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import export, motion
from svdjax.metrics import flicker, quality, truth
from svdjax.metrics.figure import Figure, table


@dataclasses.dataclass
class Subject:
  """A loaded checkpoint and what it is measured with."""
  config: object
  parts: object
  params: dict
  tokenizer: object
  world: object
  seeds: int
  clips: int
  steps: int | None
  shown: tuple = ()  # (true clips, the model's, captions) for a film strip

  @property
  def condition(self):
    """What the model is given, in words."""
    return 'the first frame' if self.config.conditioning.concat else 'the caption'

  def held_out(self, kinds, split='test'):
    """The first clips of the split whose truth has one of `kinds`: (batch, truths)."""
    from svdjax.inputs import pipeline
    source = pipeline.Clips(self.config.data, split, 0, self.tokenizer)
    self.config.data.fps = (source.slowest(),)
    truths = source.truths()
    chosen = [i for i, t in enumerate(truths) if not kinds or t.get('kind') in kinds]
    if not chosen:
      raise BadInput(f'data folder {self.config.data.source} has no held-out clip of kind '
                     f'{" or ".join(kinds)}: make one with `python -m data.toyworld`')
    chosen = chosen[:self.clips]
    parts = [source.clip(i, 0) for i in chosen]
    batch = {n: np.stack([p[n] for p in parts]) for n in parts[0]}
    return batch, [truths[i] for i in chosen]

  def sample(self, batch, seed, **inputs):
    """Clips that the model makes of a batch, uint8 [b t h w 3]; `inputs` replace the batch's."""
    from svdjax import generate, preview
    from svdjax.core.rng import key_of
    if not hasattr(self, 'generator'):
      chosen = generate.settings(self.config, steps=self.steps)
      self.generator = generate.build(self.config, self.parts, chosen)
    given = preview.inputs_of(self.config, batch, self.tokenizer) | inputs
    made, size = [], self.config.sample.clips or 4
    for i in range(0, len(batch['video']), size):
      some = {name: x[i:i + size] for name, x in given.items()}
      key = key_of(seed, 'evaluate', i)
      made.append(np.asarray(generate.run(self.generator, self.params, some, key)))
    return np.concatenate(made)

  def samples(self, batch, truths):
    """`sample` for each seed; the first clips are kept for a film strip."""
    made = []
    for seed in range(self.seeds):
      made.append(self.sample(batch, seed))
      self.shown = self.shown or (batch['video'], made[0], [t['caption'] for t in truths])
    return made


def mean_clip(subject, like):
  """The mean of 64 training clips as a clip, repeated: a trivial answer, like [b t h w 3]."""
  from svdjax.inputs import pipeline
  source = pipeline.Clips(subject.config.data, 'train', 0, subject.tokenizer)
  mean = np.mean([source.clip(i, 0)['video'] for i in range(min(64, len(source)))], axis=0)
  return np.broadcast_to(np.round(mean).astype(np.uint8), like.shape)


def chance(world):
  """What guessing reaches: {'color', 'shape', 'direction': share of clips}."""
  return {'color': 1 / len(world.colors), 'shape': 1 / len(set(world.shapes)),
          'direction': 1 / len(world.directions)}


def readable(videos, truths, world):
  """Shares of clips [b t h w 3] whose colour, shape and direction are read as they truly are."""
  return truth.accuracy([truth.read_clip(v, world) for v in videos], truths)


def autoencoder(subject):
  """Reconstruction PSNR of held-out clips, and what can still be read: the most that any model of
  its latents can reach."""
  from svdjax import preview
  batch, truths = subject.held_out(('object', 'pointer'))
  video = batch['video']
  made = np.asarray(preview.clips_of(subject.config, subject.parts, subject.params, batch, None))
  change = lambda videos: np.mean([flicker.change(v) for v in videos])
  figures = [Figure('reconstruction PSNR', [quality.psnr(made, video).mean()],
                    {'mean video': quality.psnr(mean_clip(subject, video), video).mean()}, 'dB')]
  read, by_chance = readable(made, truths, subject.world), chance(subject.world)
  figures += [Figure(f'{name} of reconstruction', [read[name]], {'chance': by_chance[name]})
              for name in ('color', 'shape')]
  if video.shape[1] > 1:
    figures.append(Figure('change between frames', [change(made)], {'truth': change(video)},
                          'grey levels'))
  return figures


def text_to_video(subject):
  """Whether colour, shape and direction of the generated clips are those of the caption."""
  batch, truths = subject.held_out(('object', 'pointer'))
  rows = [readable(made, truths, subject.world) for made in subject.samples(batch, truths)]
  trivial = readable(mean_clip(subject, batch['video']), truths, subject.world)
  by_chance = chance(subject.world)
  names = ('color', 'shape') + (('direction',) if batch['video'].shape[1] > 1 else ())
  return [Figure(f'caption {name}', [r[name] for r in rows],
                 {'chance': by_chance[name], 'mean video': trivial[name],
                  'always the commonest': commonest(truths, name)}) for name in names]


def commonest(truths, name):
  """Share of clips that one fixed answer gets right."""
  return max(collections.Counter(t[name] for t in truths).values()) / len(truths)


def image_to_video(subject):
  """Direction of objects that point where they go, fidelity to the first frame, motion bucket."""
  batch, truths = subject.held_out(('pointer',))
  video, mean = batch['video'], mean_clip(subject, batch['video'])
  made = subject.samples(batch, truths)
  against = lambda clips, frames: margins.psnr(clips, video, frames)
  directions = [readable(m, truths, subject.world)['direction'] for m in made]
  first, rest = slice(0, 1), slice(1, None)
  return [
      Figure('pointed direction', directions, {
          'chance': chance(subject.world)['direction'], 'first frame repeated': 0.}),
      Figure('first-frame PSNR', [against(m, first) for m in made],
             {'mean video': against(mean, first)}, 'dB'),
      Figure('continuation PSNR', [against(m, rest) for m in made], {
          'first frame repeated': against(margins.copied(video), rest),
          'mean video': against(mean, rest)}, 'dB'),
      *motion_following(subject)]


def motion_following(subject, shares=(0.1, 0.4, 0.6, 0.9)):
  """Rank correlation between the motion bucket asked for and the motion measured.

  Asked for are the quantiles `shares` of the buckets of held-out clips: others were never trained.
  """
  buckets = np.round(np.quantile(subject.held_out(())[0]['motion'], shares))
  batch, _ = subject.held_out(('object', 'pointer'))
  clips = max(1, len(batch['video']) // len(buckets))
  batch = {n: np.concatenate([x[:clips]] * len(buckets)) for n, x in batch.items()}
  asked = np.repeat(np.float32(buckets), clips)
  values, measured = [], {b: [] for b in buckets}
  for seed in range(subject.seeds):
    made = subject.sample(batch, seed, motion=asked)
    got = [motion.motion_score(v, float(f) + 1) for v, f in zip(made, batch['fps'])]
    for bucket, score in zip(asked, got):
      measured[bucket].append(score)
    values.append(quality.rank_correlation(asked, got))
  baselines = {'chance': 0.} | {f'motion at {b:g}': np.mean(m) for b, m in measured.items()}
  return [Figure('motion follows bucket', values, baselines, 'rank correlation')]


def measure(subject):
  """All figures that belong to the task of a checkpoint.

  Raises:
    BadInput: nothing is measured for that task.
  """
  if 'unet' not in subject.config.model and 'vae' in subject.config.model:
    return autoencoder(subject)
  if subject.config.task != 'denoising':
    raise BadInput(f'a checkpoint of task {subject.config.task} is not evaluated: give an '
                   'autoencoder, text-to-video or image-to-video checkpoint')
  if finetuned := margins.of_task(subject.config):
    return finetuned(subject)
  if subject.config.conditioning.concat:
    return image_to_video(subject)
  return text_to_video(subject)


def main(argv=None):
  """Evaluates and prints; writes JSON where --out says."""
  platform.configure()
  from svdjax import features
  parser = argparse.ArgumentParser(prog='python -m svdjax.evaluate', description=__doc__)
  parser.add_argument('--checkpoint', required=True, help='workdir of a trained stage')
  parser.add_argument('--data', required=True, help='data folder with a test split')
  parser.add_argument('--seeds', type=int, default=5, help='sampling seeds')
  parser.add_argument('--clips', type=int, default=16, help='held-out clips for each seed')
  parser.add_argument('--steps', type=int, help="denoising steps; default: the checkpoint's")
  parser.add_argument('--out', help='JSON file to write')
  parser.add_argument('--strip', help='PNG film strip to write, of a model of videos')
  parser.add_argument('--page', help='HTML page to write, of a model of videos')
  features.add_arguments(parser.add_argument)
  args = parser.parse_args(argv)
  if args.seeds < 1 or args.clips < 1:
    raise BadInput('--seeds and --clips must be at least 1')
  for path in filter(None, (args.out, args.strip, args.page)):
    export.check_writable(path)
  from svdjax import checkpoint, exhibit
  from svdjax.models.tokenizer import Tokenizer
  from svdjax.tasks import parts as parts_lib
  config, params, step = checkpoint.load(args.checkpoint)
  config.data.source, config.data.drop_text = args.data, 0.
  config.data.captions = (0., 0., 1.) if config.data.frames > 1 else (1., 0., 0.)
  config.data.crop = 'center'
  tokenizer = None
  if 'clip_text' in config.model:
    tokenizer = Tokenizer.load(pathlib.Path(args.checkpoint) / 'assets')
  subject = Subject(config, parts_lib.build(config.model), params, tokenizer,
                    truth.load_world(args.data), args.seeds, args.clips, args.steps)
  extractors = features.load(args)
  figures, shown = measure(subject), None
  if subject.shown and config.data.frames > 1:
    truths, made, captions = subject.shown
    shown = exhibit.Exhibit(truths, made, captions, float(min(config.data.fps)),
                            extractors)
    figures += [f for f in shown.figures if f.name not in {g.name for g in figures}]
  print(table(figures))
  told = {'checkpoint': args.checkpoint, 'step': step, 'data': args.data, 'seeds': args.seeds,
          'clips': args.clips, 'frames': config.data.frames, 'height': config.data.height,
          'width': config.data.width}
  if args.strip and shown:
    shown.write_strip(args.strip, subject.condition)
  if args.page and shown:
    shown.write_page(args.page, [f.row() for f in figures], told)
  if args.out:
    exhibit.write_report(args.out, figures, told | {'measured': shown and shown.conditions})


if __name__ == '__main__':
  run_command(main)
