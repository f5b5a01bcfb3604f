"""Trains one stage.

    python -m svdjax.main --config experiments/NAME.py[:SCALE[,VARIANT]] --workdir DIR \\
      [--config.FIELD=VALUE ...]

The same workdir again goes on where training ended. Fields are in experiments/base.py.
"""

import difflib
import pathlib
import re
import runpy
import sys

from absl import flags

from svdjax.core import distributed, ledger, platform
from svdjax.core.errors import BadInput, run_command

EXAMPLE = '--config experiments/i2v_14f.py:tiny --workdir DIR'

flags.DEFINE_bool('distributed', False, 'Let JAX find the other processes of this run (Cloud TPU, '
                  'GKE, SLURM, Open MPI).')
flags.DEFINE_string('coordinator', '', 'HOST:PORT of process 0, where JAX cannot find it out.')
flags.DEFINE_integer('processes', 0, 'How many processes take part, with --coordinator.')
flags.DEFINE_integer('process', -1, 'Which of them this is, with --coordinator.')
flags.DEFINE_string('workdir', None, 'Folder for checkpoints, logs and samples of this stage.')


def experiment(argument):
  """The config of a --config argument, FILE.py[:SCALE[,VARIANT]].

  Raises:
    BadInput: no such file, or it refuses the scale or variant.
  """
  path, colon, scale = argument.partition(':')
  if not pathlib.Path(path).is_file():
    raise BadInput(f'--config {path} is not a file: name an experiment file, as in {EXAMPLE}')
  try:
    defined = runpy.run_path(path)
    if 'get_config' not in defined:
      raise BadInput(f'{path} defines no get_config: name an experiment file, as in {EXAMPLE}')
    return defined['get_config'](*([scale] if colon else []))
  except (ValueError, ImportError, SyntaxError) as error:
    raise BadInput(f'--config {argument}: {error}') from None


def fields(config, prefix='config'):
  """{'config.train.steps': value} of all fields, groups of fields included."""
  flat = {}
  for name, value in config.items():
    flat[f'{prefix}.{name}'] = value
    if hasattr(value, 'items'):
      flat |= fields(value, f'{prefix}.{name}')
  return flat


def options(argv):
  """Yields (name, value) of the options on a command line, without their dashes."""
  for argument, after in zip(argv[1:], [*argv[2:], '']):
    if argument.startswith('-'):
      name, equals, value = argument.lstrip('-').partition('=')
      yield name, value if equals else after


def check_fields(argv):
  """Raises BadInput for --config.FIELD=VALUE of a field that the experiment does not have.

  ml_collections refuses these too, but with a traceback or without the field's whole name.
  """
  given = dict(options(argv))
  if 'config' not in given:
    return
  known = fields(experiment(given['config']))
  for name in given:
    if name.startswith('config.') and name not in known:
      close = difflib.get_close_matches(name, known, n=1, cutoff=0.)
      raise BadInput(f'{name} is not a field of this experiment: did you mean {close[0]}?')
    if hasattr(known.get(name), 'items'):
      raise BadInput(f'{name} is a group of fields: set one of '
                     f'{", ".join(f"{name}.{field}" for field in known[name])}')
    check_number(name, given[name], known.get(name))


def check_number(name, value, default):
  """Raises BadInput for a value of a field of numbers, as its default shows, that is none."""
  if isinstance(default, bool) or not isinstance(default, (int, float)):
    return
  kind, words = (int, 'a whole number') if isinstance(default, int) else (float, 'a number')
  try:
    kind(value)
  except ValueError:
    raise BadInput(f'{name} must be {words}, not "{value}": for example '
                   f'--{name}={default}') from None


def parse(argv, required=('config', 'workdir'), example=EXAMPLE):
  """Parses flags, of which some are required; what is wrong with them becomes one BadInput."""
  from ml_collections import config_flags
  check_fields(argv)
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
  for name in required:
    if not flags.FLAGS[name].value:
      raise BadInput(f'--{name} is not set: use {example}')


def main():
  """Parses the command line and trains."""
  if {'-h', '--help'} & set(sys.argv):
    print(__doc__)
    return
  platform.configure()
  parse(sys.argv)
  given = flags.FLAGS
  distributed.initialize(given.distributed, given.coordinator, given.processes, given.process)
  from svdjax import train
  with distributed.together():
    train.train(flags.FLAGS.config, flags.FLAGS.workdir, ledger.process_start())


if __name__ == '__main__':
  run_command(main)
