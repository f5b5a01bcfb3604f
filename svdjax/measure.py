"""Measures a folder of generated clips against a folder of real ones.

    python -m svdjax.measure --made DIR --real DIR [--protocol experiments/protocols/NAME.py]
        [--i3d FILE] [--lpips FILE] [--clip CHECKPOINT] [--out FILE.json] [--page FILE.html]

What cannot be measured, such as for lack of weights, is left out and named. Clips are videos or
folders of frames; those of the same name are compared with each other. Nothing is downloaded.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command
from svdjax.core.progress import Progress
from svdjax.inputs import export
from svdjax.metrics.inception_score import parts_of
from svdjax.metrics.source import Source, protocol_of

_SHOWN = 6


def caption_of(name, source, partner=None):
  """The text that a clip of a Source is of, else that of its partner's, or None."""
  return source.caption(name) or partner and partner.caption(name) or None


def check_captions(config, extractors, made, real):
  """Refuses clips of which some have a caption and some have not, where CLIPSIM is measured.

  Raises:
    BadInput: naming the first clip that lacks one.
  """
  if not extractors.clip or 'CLIPSIM' not in config.figures:
    return
  for source, partner in ((made, real), (real, None)):
    without = [n for n in source.clips if not caption_of(n, source, partner)]
    if 0 < len(without) < len(source.clips):
      raise BadInput(f'{source.clips[without[0]]} has no caption while other {source.side} clips '
                     'have one: CLIPSIM needs one of each, so caption it, or measure without '
                     '--clip')


def measure_side(source, extractors, partner=None):
  """(measures of the clips of a Source, measures of pairs with those of a partner's).

  The partner is left out where it is None or has no clip of the name.
  """
  from svdjax.metrics import suite
  alone, pairs = [], []
  with Progress(len(source.clips), 0, f'measuring {source.side} clips') as bar:
    for names, clips in source.batches(bar.update):
      texts = [caption_of(n, source, partner) for n in names]
      fps = source.fps if source.fps == source.fps else 1.
      alone.append(suite.of_clips(clips, fps, extractors, None if None in texts else texts))
      true = [partner.read(n) if partner and n in partner.clips else None for n in names]
      both = [i for i, x in enumerate(true) if x is not None]
      if both and source.config.paired:
        _check_sizes(source, partner)
        pairs.append(suite.of_pairs(clips[both], np.stack([true[i] for i in both]), extractors,
                                    source.config.given))
  if not alone:
    raise BadInput(f'no clip of {source.folder} can be used: {next(iter(source.failed.values()))}')
  return suite.join(alone), suite.join(pairs)


def _check_sizes(made, real):
  if made.size != real.size:
    raise BadInput(f'clips of {made.folder} are of {made.size[0]}x{made.size[1]} and those of '
                   f'{real.folder} of {real.size[0]}x{real.size[1]}: set resize and crop in the '
                   'protocol')


def conditions(config, made, real, extractors, counts):
  """What a reader must know to compare the figures with others: {name: JSON value}."""
  from svdjax.metrics import suite
  splits = {'splits of the Inception score': {
      side: parts_of(counts[side], config.splits) for side in ('made', 'real')}}
  size = lambda s: f'{s[0]}x{s[1]}' if s else 'none'
  resize = lambda side: f'{size(config.resize[side])}, then crop {size(config.crop)}'
  return {
      'protocol': config.name or 'none', 'samples': counts,
      'resolution': {s.side: size(s.size) for s in (made, real)}, 'frames': config.frames,
      'stride': config.stride, 'fps': config.fps or {s.side: s.fps for s in (made, real)},
      'window': config.window,
      'resize': {s: resize(s) for s in ('made', 'real')} | {'method': 'bilinear, antialiased'},
      **suite.definitions(extractors, config.given if config.paired else None),
      'extractors': extractors.describe(), **(splits if extractors.i3d else {}),
      'input of I3D': '224x224, bilinear without antialiasing, -1 to 1; features: 400 logits',
      'floor': 'FVD between random halves of the real clips, each of half as many',
      'seed': config.seed, 'left out': {s.side: len(s.failed) for s in (made, real)},
      'folders': {s.side: str(s.folder) for s in (made, real)}}


def report(config, made, real, extractors):
  """Measures two Sources: (JSON values, measures of both sides and of pairs).

  Raises:
    BadInput: as check_captions and measure_side.
  """
  from svdjax.metrics import missing, suite
  check_captions(config, extractors, made, real)
  own, pairs = measure_side(made, extractors, real)
  other, _ = measure_side(real, extractors)
  figures = [f for f in suite.figures(own, other, pairs, config.seed, config.splits)
             if f.name in config.figures]
  published = {n: dict(pairs) for n, pairs in config.published.items()}
  rows = [f._replace(baselines=f.baselines | published.get(f.name, {})).row() for f in figures]
  counts = {'made': len(own['motion']), 'real': len(other['motion']),
            'pairs': len(pairs.get('psnr', ())), 'asked for': config.samples or 'all'}
  values = {n: x.tolist() for n, x in (own | pairs).items() if x.ndim == 1}
  unpaired = ('no made clip has a real one of its name' if config.paired else
              'the protocol does not compare clips of the same name')
  told = conditions(config, made, real, extractors, counts) | {'not measured': missing.reasons(
      config.figures, extractors, {f.name for f in figures}, counts, unpaired)}
  return {'figures': rows, 'conditions': told, 'clips': values}, (own, other, pairs)


def strips(made, real):
  """(caption, clips) of a few clips for the page, the real one of the same name above."""
  shown = []
  for name in list(made.clips)[:_SHOWN]:
    pair = [s.read(name) for s in (real, made) if name in s.clips]
    pair = [clip for clip in pair if clip is not None]
    text = made.caption(name) or real.caption(name) or name
    shown.append((f'{text} ({"real above, " if len(pair) > 1 else ""}{name})', pair))
  return [s for s in shown if s[1]]


def curves(own, other, pairs):
  """What is drawn over the frames: {title: {label: [n t]}}."""
  result = {'change between frames, grey levels': {'made': own['change_by_frame'],
                                                   'real': other['change_by_frame']}}
  if pairs:
    result['PSNR of each frame, dB'] = {'made': pairs['psnr_by_frame']}
  return result


def arguments(argv):
  """The command line, parsed."""
  from svdjax import features
  parser = argparse.ArgumentParser(prog='python -m svdjax.measure', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  add = parser.add_argument
  add('--made', required=True, help='folder of generated clips')
  add('--real', required=True, help='folder of real clips')
  add('--protocol', default='experiments/protocols/clips.py', help='file of a protocol')
  add('--frames', type=int, help="frames a clip; default: the protocol's")
  add('--samples', type=int, help="clips a side; default: the protocol's")
  features.add_arguments(add)
  add('--out', help='JSON file to write')
  add('--page', help='HTML page to write')
  return parser.parse_args(argv)


def main(argv=None):
  """Measures, prints and writes."""
  platform.configure()
  args = arguments(argv)
  for path in filter(None, (args.out, args.page)):
    export.check_writable(path)
  config = protocol_of(args.protocol)
  for name in ('frames', 'samples'):
    if getattr(args, name) is not None:
      if getattr(args, name) < 2:
        raise BadInput(f'--{name} must be at least 2')
      config[name] = getattr(args, name)
  if not 0 <= config.given < config.frames:
    raise BadInput(f'--protocol {args.protocol} leaves out {config.given} given of {config.frames} '
                   'frames, and none would be measured: set fewer in its `given`')
  from svdjax import features
  from svdjax.metrics import missing, page
  from svdjax.metrics.figure import Figure, finite, table
  made, real = (Source(getattr(args, s), s, config) for s in ('made', 'real'))
  result, measures = report(config, made, real, features.load(args))
  print(table([Figure(r['name'], r['values'], r['baselines'], r['unit'])
               for r in result['figures']]))
  missing.say(result['conditions']['not measured'])
  for why in [*made.failed.values(), *real.failed.values()][:5]:
    print(f'left out: {why}', file=sys.stderr)
  if args.out:
    pathlib.Path(args.out).write_text(json.dumps(finite(result), indent=2, allow_nan=False))
  if args.page:
    title = f'{made.folder} against {real.folder}'
    text = page.render(result, strips(made, real), curves(*measures), title)
    pathlib.Path(args.page).write_text(text, encoding='utf-8')


if __name__ == '__main__':
  run_command(main)
