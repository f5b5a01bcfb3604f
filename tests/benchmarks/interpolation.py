"""Interpolation of a real clip whose every second frame was taken away, against blending.

    python tests/benchmarks/interpolation.py --checkpoint DIR --video FILE [--frames 41] [--steps N]
        [--height H --width W] [--lpips FILE] [--clip CHECKPOINT] [--strip FILE.png]

Frames 0, 2, 4, … are given, and the middle ones of those made between them are compared with 1, 3,
5, …. Beside the model stand linear blending, the same through the autoencoder, and the true frames
through it, which no model of its latents surpasses. LPIPS and CLIP-S need their networks.
"""

import argparse

import numpy as np

from svdjax import checkpoint, features, generate, interpolate, preview
from svdjax.core import rng
from svdjax.inputs import export
from svdjax.metrics import suite
from svdjax.tasks import parts as parts_lib


def made_between(config, parts, params, footage, chosen):
  """The middle one of the frames that the model makes between neighbours: uint8 [n - 1 h w 3]."""
  generator = generate.build(config, parts, chosen)
  rate = interpolate.told_rate(config, np.float32(interpolate.rate(footage, chosen.frames) - 1))
  inputs = {'fps': np.full(1, rate, np.float32), 'cond_aug': np.full(1, 0.02, np.float32),
            'motion': np.full(1, interpolate.bucket(footage), np.float32)}
  clip = interpolate.run(generator, params, inputs, footage, rng.key_of(0, 'benchmark'))
  return clip[(chosen.frames - 1) // 2::chosen.frames - 1]


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--video', required=True)
  parser.add_argument('--frames', type=int, default=41, help='of the video, from its first on')
  parser.add_argument('--strip')
  for name in ('--steps', '--height', '--width'):
    parser.add_argument(name, type=int)
  features.add_arguments(parser.add_argument)
  args = parser.parse_args()
  extractors = features.load(args)
  config, params, _ = checkpoint.load(args.checkpoint)
  parts = parts_lib.build(config.model)
  chosen = generate.settings(config, steps=args.steps, height=args.height, width=args.width)
  footage = interpolate.read(args.video, chosen.height, chosen.width, chosen.frames)
  count = (min(args.frames, len(footage.frames)) - 1) // 2 * 2 + 1  # odd: the last one is given
  frames = footage.frames[:count]
  given, hidden = frames[::2], frames[1::2]
  halved = interpolate.Footage(given, footage.fps / 2)
  blended = np.round((given[:-1].astype(np.float32) + given[1:]) / 2).astype(np.uint8)
  through = lambda x: np.asarray(preview.reconstruct(parts, params, x[:, None]))[:, 0]
  rows = {'model': made_between(config, parts, params, halved, chosen), 'linear blending': blended,
          'blending, autoencoded': through(blended), 'truth, autoencoded': through(hidden)}
  measures = {n: suite.of_pairs(x[:, None], hidden[:, None], extractors) for n, x in rows.items()}
  names = [n for n in ('psnr', 'ssim', 'lpips', 'clip_s') if n in measures['model']]
  print(f'{len(hidden)} frames of {chosen.height}x{chosen.width} from {args.video}')
  print(f'{"":26s}' + ''.join(f'{n:>10s}' for n in names))
  for name, row in measures.items():
    print(f'{name:26s}' + ''.join(f'{row[n].mean():10.4g}' for n in names))
  ahead = np.mean(measures['model']['psnr'] > measures['linear blending']['psnr'])
  print(f'the model is nearer than blending, in PSNR, in {ahead:.0%} of the frames')
  if args.strip:
    export.write_png(args.strip, export.film_strip([hidden, *rows.values()], ['truth', *rows]))


if __name__ == '__main__':
  main()
