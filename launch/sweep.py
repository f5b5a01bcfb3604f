"""One stage with several settings of its fields.

    python launch/sweep.py --config experiments/FILE.py:SCALE --workdir DIR \\
      --sweep config.optim.lr=1e-4,3e-5 [--sweep config.seed=0,1] [--config.FIELD=VALUE …] \\
      [--to local|print|slurm|summary]

Several --sweep make all combinations. Without one, the experiment file says what to run by a
generator `sweep()` of {field: value}. Each run has a folder of its own below DIR. `local` runs them
one after another and goes on where it ended; `print` prints the commands; `slurm` writes
DIR/sweep.sbatch, an array of one job a run; `summary`, also done after `local`, prints a table of
the runs and writes their curves to DIR/sweep.svg.
"""

import argparse
import ctypes
import itertools
import json
import pathlib
import runpy
import shlex
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from launch import curves
from svdjax import main as command
from svdjax.core.errors import BadInput, run_command

SBATCH = """#!/usr/bin/env bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --output={folder}/slurm-%a.log
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
# Partition, time and accelerators: sbatch's own options, e.g. sbatch --gpus=1 --time=8:00:00 {file}
cd {root}
commands=(
{commands}
)
eval "${{commands[$SLURM_ARRAY_TASK_ID]}} &"
trap 'again=1; kill -TERM $!' TERM  # a minute before its time is over: save, end, wait again
wait $!; code=$?
[ -z "$again" ] || {{ wait $!; code=$?; }}
[ -z "$again" ] || scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
exit $code
"""


def settings_of(arguments):
  """'config.optim.lr=1e-4,3e-5' texts -> [{field: value as text}] of all combinations.

  Raises:
    BadInput: a text is not of this form, or a field is named twice.
  """
  fields = {}
  for text in arguments:
    name, equals, values = text.partition('=')
    name = name.lstrip('-').removeprefix('config.')
    if not (name and equals and all(values.split(','))):
      raise BadInput(f'--sweep {text} is not understood: use --sweep config.optim.lr=1e-4,3e-5')
    if name in fields:
      raise BadInput(f'--sweep names config.{name} twice: give all its values in one')
    fields[name] = values.split(',')
  return [dict(zip(fields, values)) for values in itertools.product(*fields.values())]


def settings_in(config):
  """What `sweep()` of an experiment file yields, as `settings_of` does.

  Raises:
    BadInput: the file has no such generator, or it yields nothing.
  """
  command.experiment(config)  # refuses a file that is none
  path = config.partition(':')[0]
  sweep = runpy.run_path(path).get('sweep')
  found = [{n.removeprefix('config.'): str(v) for n, v in setting.items()}
           for setting in (sweep() if sweep else ())]
  if not found:
    raise BadInput(f'--config {path} defines no sweep() that yields settings: add one, or pass '
                   '--sweep config.optim.lr=1e-4,3e-5')
  return found


def name_of(setting):
  """The folder of a run: 'optim.lr=1e-4,seed=0'."""
  return ','.join(f'{n}={v}' for n, v in setting.items()).replace('/', '_')


def commands_of(args, common, settings):
  """{folder: command} of all runs; a field that cannot take its value is refused.

  Raises:
    BadInput: a field does not exist or cannot take a value.
  """
  runs = {}
  for setting in settings:
    folder = pathlib.Path(args.workdir) / name_of(setting)
    argv = ['--config', args.config, '--workdir', str(folder), *common,
            *(f'--config.{n}={v}' for n, v in setting.items())]
    command.check_fields(['svdjax.main', *argv])
    runs[folder] = [sys.executable, '-m', 'svdjax.main', *argv]
  return runs


def _die_with_parent():
  ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: the run saves and ends too


def run_all(runs):
  """Runs commands one after another; those that failed, by their folder."""
  failed = []
  for i, (folder, argv) in enumerate(runs.items(), 1):
    print(f'[{i}/{len(runs)}] {folder.name}', flush=True)
    linux = sys.platform.startswith('linux')
    if subprocess.run(argv, cwd=ROOT, check=False,
                      preexec_fn=_die_with_parent if linux else None).returncode:
      failed.append(folder)
  return failed


def write_array(runs, folder):
  """Writes a SLURM array script of the runs and returns its path."""
  path = folder / 'sweep.sbatch'
  lines = '\n'.join(f'  {shlex.quote(shlex.join(argv))}' for argv in runs.values())
  path.write_text(SBATCH.format(name=folder.name, last=len(runs) - 1, folder=folder.resolve(),
                                file=path, root=shlex.quote(str(ROOT)), commands=lines))
  return path


def summarize(folders, path):
  """Prints a table of the runs that have metrics, the lowest loss first, and draws their curves."""
  found = {f.name: curves.read(f) for f in folders}
  found = {name: rows for name, rows in found.items() if rows}
  if not found:
    raise BadInput('no run of this sweep has metrics yet: run it first')
  print(curves.table(found))
  if missing := len(folders) - len(found):
    print(f'{missing} of {len(folders)} runs have no metrics yet')
  path.write_text(curves.svg({n: [(r['step'], r['loss']) for r in rows if r['loss'] is not None]
                              for n, rows in found.items()}), encoding='utf-8')
  print(f'curves: {path}')


def main():
  """Does what the command line says."""
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', required=True, help='experiment file, FILE.py[:SCALE[,VARIANT]]')
  parser.add_argument('--workdir', required=True, help='folder of all runs')
  parser.add_argument('--sweep', action='append', default=[], help='FIELD=VALUE,VALUE; repeatable')
  parser.add_argument('--to', choices=('local', 'print', 'slurm', 'summary'), default='local')
  args, common = parser.parse_known_args()
  if strange := [a for a in common if not a.startswith('--config.')]:
    raise BadInput(f'argument "{strange[0]}" is not understood: see --help')
  settings = settings_of(args.sweep) if args.sweep else settings_in(args.config)
  runs, folder = commands_of(args, common, settings), pathlib.Path(args.workdir)
  if args.to == 'print':
    print('\n'.join(shlex.join(argv) for argv in runs.values()))
    return
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'sweep.json').write_text(json.dumps(settings, indent=1))
  if args.to == 'slurm':
    print(f'sbatch {write_array(runs, folder)}')
    return
  failed = run_all(runs) if args.to == 'local' else []
  summarize(list(runs), folder / 'sweep.svg')
  if failed:
    sys.exit(f'{len(failed)} of {len(runs)} runs failed, the first: {failed[0]}')


if __name__ == '__main__':
  run_command(main)
