"""Weights between svdjax, diffusers and the original code's single file.

    python -m svdjax.convert from-diffusers FOLDER CHECKPOINT
    python -m svdjax.convert from-sgm FILE.safetensors CHECKPOINT
    python -m svdjax.convert to-diffusers CHECKPOINT FOLDER
    python -m svdjax.convert to-sgm CHECKPOINT FILE.safetensors
    python -m svdjax.convert merge-lora CHECKPOINT CHECKPOINT --lora FILE[:WEIGHT],…
"""

import argparse

from svdjax import checkpoint
from svdjax.convert import from_diffusers, from_sgm, merge, to_diffusers, to_sgm
from svdjax.core.errors import run_command
from svdjax.presets import PRESETS


# What each way does, reads and writes.
WAYS = {
    'from-diffusers': ('a folder of diffusers, or a CLIPModel of transformers, to a checkpoint',
                       'folder of a pipeline, of its components or of a CLIPModel',
                       'folder of the checkpoint'),
    'from-sgm': ('a single file of the original code to a checkpoint',
                 '.safetensors file with model, autoencoder and image encoder',
                 'folder of the checkpoint'),
    'to-diffusers': ('a checkpoint to a folder that diffusers loads',
                     'workdir or converted checkpoint', 'folder of the pipeline or components'),
    'to-sgm': ('a checkpoint to a single file, also for ComfyUI', 'workdir or converted checkpoint',
               '.safetensors file'),
    'merge-lora': ('LoRA files merged into a checkpoint',
                   'workdir or converted checkpoint', 'folder of the checkpoint'),
}
PRESET = {
    'from-diffusers': 'the released model whose sampling settings to take; default: told by sizes '
                      'and number of frames',
    'from-sgm': 'the released model whose sampling settings to take; default: told by sizes; '
                'single files do not tell 14 from 25 frames and are taken for svd_xt, unless '
                'svdjax wrote them',
}


def arguments(argv=None):
  """The command line, parsed."""
  parser = argparse.ArgumentParser(
      prog='python -m svdjax.convert', description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  ways = parser.add_subparsers(dest='way', required=True)
  for way, (what, source, destination) in WAYS.items():
    add = ways.add_parser(way, help=what, description=what).add_argument
    add('source', metavar='SRC', help=source)
    add('destination', metavar='DST', help=f'{destination}; must not exist')
    add('--dtype', choices=('float32', 'bfloat16', 'float16'),
        help='of the weights written; default: that of those read')
    if way in PRESET:
      add('--preset', choices=tuple(PRESETS), help=PRESET[way])
    if way != 'from-diffusers':
      add('--raw', action='store_true', help='raw weights instead of their moving average')
    if way == 'merge-lora':
      add('--lora', help='LoRA files and how much of each; without it the one that SRC is')
  return parser.parse_args(argv)


def main(argv=None):
  """Converts and says what was written."""
  args = arguments(argv)
  convert = {'from-diffusers': from_diffusers.convert, 'from-sgm': from_sgm.convert,
             'to-diffusers': to_diffusers.convert, 'to-sgm': to_sgm.convert,
             'merge-lora': merge.convert}[args.way]
  options = {n: x for n, x in vars(args).items() if n in ('dtype', 'preset', 'raw', 'lora')}
  convert(args.source, args.destination, **options)
  print(f'wrote {args.destination}')
  if args.way.startswith('from') and (preset := checkpoint.load_config(args.destination).preset):
    print(f'its sampling settings are those of {preset}: --preset takes others')


if __name__ == '__main__':
  run_command(main)
