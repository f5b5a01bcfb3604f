"""Trains one stage: python -m svdjax.main --config experiments/NAME.py[:SCALE[,VARIANT]] --workdir DIR."""

import re
import sys

from absl import app, flags

from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command

flags.DEFINE_string('workdir', None, 'Folder for checkpoints, logs and samples of this stage.')


def parse(argv):
  """Parses flags; what is wrong with them becomes one BadInput sentence."""
  from ml_collections import config_flags
  if 'config' not in flags.FLAGS:
    config_flags.DEFINE_config_file('config', None, 'Experiment file, FILE.py:SCALE[,VARIANT].',
                                    lock_config=True)
  try:
    rest = flags.FLAGS(argv)
  except (flags.Error, AttributeError, ValueError, TypeError, KeyError, OSError) as error:
    text = re.sub(r'\s+', ' ', str(error)).strip()
    raise BadInput(text or f'the command line cannot be read ({type(error).__name__})') from None
  if rest[1:]:
    raise BadInput(f'argument "{rest[1]}" is not understood: options start with --')
  for name in ('config', 'workdir'):
    if not flags.FLAGS[name].value:
      raise BadInput(f'--{name} is not set: use --config experiments/i2v_14f.py:tiny --workdir DIR')


def main():
  """Parses the command line and trains."""
  platform.configure()
  parse(sys.argv)
  from svdjax import train
  train.train(flags.FLAGS.config, flags.FLAGS.workdir)


if __name__ == '__main__':
  del app
  run_command(main)
