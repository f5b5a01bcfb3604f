"""Measures a checkpoint on held-out clips, against chance and against trivial answers.

    python -m svdjax.evaluate --checkpoint DIR --data DIR [--seeds 5] [--clips 16]
        [--i3d FILE] [--lpips FILE] [--clip CHECKPOINT] [--against AUTOENCODER]
        [--out FILE.json] [--strip FILE.png] [--page FILE.html] [options of sampling]

On generated data (data.toyworld) colour, shape, direction, camera and pose are read from the frames
and compared with the truth; on one's own videos the other figures are measured. Figures are means
over sampling seeds with the spread (largest minus smallest).
"""

import argparse
import collections
import dataclasses
import pathlib

import numpy as np

from svdjax import margins, sampling
from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import export, motion
from svdjax.metrics import quality, truth
from svdjax.metrics.figure import Figure, table


def text_to_video(subject):
  """Whether colour, shape and direction of the generated clips are those of the caption."""
  batch, truths = subject.held_out(('object', 'pointer'))
  made = subject.samples(batch, truths)
  if not subject.world:
    return []
  rows = [truth.readable(m, truths, subject.world) for m in made]
  trivial = truth.readable(subject.mean_clip(batch['video']), truths, subject.world)
  by_chance = truth.chance(subject.world)
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
  video, mean = batch['video'], subject.mean_clip(batch['video'])
  made = subject.samples(batch, truths)
  against = lambda clips, frames: margins.psnr(clips, video, frames)
  first, rest = slice(0, 1), slice(1, None)
  return [
      *pointed(subject, made, truths),
      Figure('first-frame PSNR', [against(m, first) for m in made],
             {'mean video': against(mean, first)}, 'dB'),
      Figure('continuation PSNR', [against(m, rest) for m in made], {
          'first frame repeated': against(margins.copied(video), rest),
          'mean video': against(mean, rest)}, 'dB'),
      *motion_following(subject)]


def pointed(subject, made, truths):
  """Whether pointers go where they point, of generated clips alone."""
  if not subject.world:
    return []
  read = [truth.readable(m, truths, subject.world)['direction'] for m in made]
  return [Figure('pointed direction', read, {
      'chance': truth.chance(subject.world)['direction'], 'first frame repeated': 0.})]


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
    from svdjax import decoding
    return decoding.autoencoder(subject)
  if subject.config.task != 'denoising':
    raise BadInput(f'a checkpoint of task {subject.config.task} is not evaluated: give an '
                   'autoencoder, text-to-video or image-to-video checkpoint')
  if finetuned := margins.of_task(subject.config):
    return finetuned(subject)
  if subject.config.conditioning.concat:
    return image_to_video(subject)
  return text_to_video(subject)


def arguments(argv):
  """The command line, parsed and checked."""
  from svdjax import features
  parser = argparse.ArgumentParser(prog='python -m svdjax.evaluate', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  add = parser.add_argument
  add('--checkpoint', required=True, help='workdir of a trained stage')
  add('--data', required=True, help='data folder with a test split')
  add('--seeds', type=int, default=5, help='sampling seeds')
  add('--clips', type=int, default=16, help='held-out clips for each seed')
  add('--against', help='an autoencoder to set beside one, e.g. the image decoder')
  add('--out', help='JSON file to write')
  add('--strip', help='PNG film strip to write, of a model of videos')
  add('--page', help='HTML page to write, of a model of videos')
  sampling.add_arguments(add)
  features.add_arguments(add)
  args = parser.parse_args(argv)
  if args.seeds < 1 or args.clips < 1:
    raise BadInput('--seeds and --clips must be at least 1')
  sampling.check(args)
  for path in filter(None, (args.out, args.strip, args.page)):
    export.check_writable(path)
  return args


def load(args):
  """(Subject, step) of the command line.

  Raises:
    BadInput: it cannot be measured, or --against is no autoencoder beside another.
  """
  from svdjax import features, subject
  from svdjax.metrics import i3d
  found, step = subject.load(args.checkpoint, args.data, seeds=args.seeds, clips=args.clips,
                             extractors=features.load(args))
  if args.i3d and found.config.data.frames < i3d.LEAST_FRAMES:
    raise BadInput(f'--i3d needs clips of at least {i3d.LEAST_FRAMES} frames and {args.checkpoint} '
                   f'makes {found.config.data.frames}: drop it')
  if found.config.task == 'denoising':
    found.chosen = sampling.settings_of(args, found.config, found.params)
  if args.against:
    other, _ = subject.load(args.against, args.data, seeds=1, clips=args.clips)
    for path, each in ((args.checkpoint, found), (args.against, other)):
      if 'vae' not in each.config.model or 'unet' in each.config.model:
        raise BadInput(f'{path} is no autoencoder alone: --against sets one beside another, such '
                       'as the image decoder beside the temporal one')
    found.other = (pathlib.Path(args.against).name, other)
  return found, step


def main(argv=None):
  """Evaluates and prints; writes JSON where --out says."""
  platform.configure()
  args = arguments(argv)
  from svdjax import exhibit, preview
  from svdjax.metrics import missing
  subject, step = load(args)
  figures, shown, config = measure(subject), None, subject.config
  if subject.shown and config.data.frames > 1:
    shown = exhibit.Exhibit(subject.shown, float(min(config.data.fps)), subject.extractors,
                            subject.prepared, preview.compared(config))
    figures += [f for f in shown.figures if f.name not in {g.name for g in figures}]
  if not figures:
    raise BadInput(f'{args.data} has no world.json, so nothing is known that could be measured of '
                   'pictures: give a folder made by `python -m data.toyworld`')
  print(table(figures))
  missing.say(shown.not_measured if shown else dict.fromkeys(
      missing.promised(subject.extractors),
      f'it is of videos, and {args.checkpoint} makes pictures'))
  told = {'checkpoint': args.checkpoint, 'step': step, 'data': args.data, 'seeds': args.seeds,
          'clips': args.clips, 'frames': config.data.frames, 'height': config.data.height,
          'width': config.data.width}
  if subject.chosen:
    told['sampling'] = dataclasses.asdict(subject.chosen)
  if args.strip and shown:
    shown.write_strip(args.strip, subject.condition)
  if args.page and shown:
    shown.write_page(args.page, [f.row() for f in figures], told)
  if args.out:
    exhibit.write_report(args.out, figures, told | {'measured': shown and shown.conditions})


if __name__ == '__main__':
  run_command(main)
