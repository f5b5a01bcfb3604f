"""Latents and embeddings of the training clips, computed once, so that training need not.

  python -m data.encode --input DATA --output LATENTS --checkpoint DIR[,DIR] --height 48 --width 64
  python -m svdjax.main … --config.data.source=DATA --config.data.latents=LATENTS

The checkpoints bring the autoencoder and CLIP: latents of every frame, states of every caption, and
CLIP's token and the noise-augmented latent of every frame that image-to-video may start from. The
same command again goes on where it ended. Several processes (--distributed, or --coordinator,
--processes and --process) share the shards.
"""

import argparse

from svdjax.core import distributed, platform
from svdjax.core.errors import BadInput, run_command

PRODUCTS = ('latents', 'text', 'image')


def parse_args(argv):
  """Command line -> checked namespace.

  Raises:
    BadInput: a value is out of range.
  """
  parser = argparse.ArgumentParser(prog='python -m data.encode', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--input', required=True, help='data folder')
  parser.add_argument('--output', required=True, help='folder for the latents')
  parser.add_argument('--checkpoint', required=True,
                      help='workdirs or converted checkpoints, separated by commas')
  parser.add_argument('--height', type=int, required=True, help='config.data.height')
  parser.add_argument('--width', type=int, required=True, help='config.data.width')
  parser.add_argument('--only', default=','.join(PRODUCTS),
                      help='of latents, text, image; default: all that the checkpoints can make')
  parser.add_argument('--max-fps', type=float, default=0., help='leave out frames beyond; 0: none')
  parser.add_argument('--log-cond-aug', type=float, nargs=2, default=(-3., 0.5),
                      metavar=('MEAN', 'STD'), help='of ln noise on conditioning images')
  parser.add_argument('--seed', type=int, default=0, help='of that noise')
  distributed.add_options(parser)
  args = parser.parse_args(argv)
  args.only = tuple(filter(None, args.only.split(',')))
  if unknown := set(args.only) - set(PRODUCTS):
    raise BadInput(f'--only {sorted(unknown)[0]} is unknown: use some of {", ".join(PRODUCTS)}')
  if args.max_fps < 0 or args.log_cond_aug[1] < 0:
    raise BadInput('--max-fps and the second number of --log-cond-aug must not be negative')
  return args


def main(argv=None):
  """Encodes what the command line says."""
  args = parse_args(argv)
  platform.configure()
  distributed.initialize(args.distributed, args.coordinator, args.processes, args.process)
  from svdjax import encode, encoding
  options = encoding.Options(
      height=args.height, width=args.width, max_fps=args.max_fps, only=args.only,
      log_cond_aug=tuple(args.log_cond_aug), seed=args.seed)
  with distributed.together():
    encode.run(args.input, args.output, args.checkpoint, options)


if __name__ == '__main__':
  run_command(main)
