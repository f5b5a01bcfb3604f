"""The steps of the quickstart: data, all stages at `tiny`, samples, and what they measure.

Steps whose result is there are left out.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import pathlib
import runpy
import sys
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Step(NamedTuple):
  """A command and about how long it takes."""
  name: str
  command: list[str]
  seconds: float


def stage(runs, name, experiment, init, setup, train, times):
  """A training stage: experiments/`experiment` into runs/`name`.

  Args:
    setup, train: about how many seconds it takes to start and end, and to train.
    times: how many times its steps are trained.
  """
  file, _, arg = experiment.partition(':')
  steps = importlib.import_module(f'experiments.{file[:-3]}').get_config(arg).train.steps
  command = ['-m', 'svdjax.main', '--config', f'experiments/{experiment}', '--workdir',
             f'{runs}/{name}', f'--config.data.source={runs}/toy',
             f'--config.train.steps={round(steps * times)}']
  if init:
    command.append('--config.init_from=' + ','.join(f'{runs}/{i}' for i in init))
  return Step(name, command, setup + train * times)


def evaluation(runs, name, seconds, *options):
  """Measures stage `name` on held-out clips."""
  return Step(f'measure_{name}', [
      '-m', 'svdjax.evaluate', '--checkpoint', f'{runs}/{name}', '--data', f'{runs}/toy',
      '--out', f'{runs}/measure_{name}.json', '--strip', f'{runs}/measure_{name}.png',
      *options], seconds)


def steps(runs, times):
  """All steps, each after those it needs; stages train `times` as long as their files say."""
  def train(name, experiment, init, setup, seconds):
    return stage(runs, name, experiment, init, setup, seconds, times)

  video = ('--steps', '10', '--clips', '32')
  sample = ['-m', 'svdjax.sample', '--strip', '--gif', '--decoder', f'{runs}/decoder']
  return [
      Step('toy', ['-m', 'data.toyworld', '--output', f'{runs}/toy', '--clips', '1500',
                   '--test-clips', '200', '--height', '48', '--width', '64', '--frames', '16',
                   '--fps', '12', '--kinds', 'object:5,pointer:4,camera:1'], 25),
      Step('still', ['launch/still.py', f'{runs}/toy', f'{runs}/still.png'], 3),
      train('autoencoder', 'autoencoder.py:tiny', (), 40, 55),
      train('clip', 'clip.py:tiny', (), 15, 12),
      train('image_discrete', 'image_discrete.py:tiny', ('autoencoder', 'clip'), 35, 70),
      train('decoder', 'autoencoder.py:tiny,temporal', ('autoencoder',), 40, 10),
      train('image_adapt', 'image_pretrain.py:tiny,adapt', ('image_discrete',), 20, 5),
      train('image_pretrain', 'image_pretrain.py:tiny', ('image_adapt',), 38, 12),
      train('video_low', 'video_pretrain.py:tiny', ('image_pretrain',), 60, 62),
      train('video_pretrain', 'video_pretrain.py:tiny,high', ('video_low',), 30, 10),
      train('i2v_base', 'i2v_14f.py:tiny,base', ('video_pretrain', 'clip'), 60, 60),
      train('t2v', 't2v_hq.py:tiny', ('video_pretrain',), 35, 10),
      train('i2v_14f', 'i2v_14f.py:tiny', ('i2v_base',), 35, 10),
      evaluation(runs, 'autoencoder', 10),
      evaluation(runs, 'decoder', 12),
      evaluation(runs, 't2v', 55, *video),
      evaluation(runs, 'i2v_14f', 90, *video),
      Step('sample_text', sample + ['--checkpoint', f'{runs}/t2v', '--prompt',
                                    'over grey stripes a red circle moving right quickly',
                                    '--samples', '4', '--out', f'{runs}/text.mp4'],
           10),
      Step('sample_image', sample + ['--checkpoint', f'{runs}/i2v_14f', '--image',
                                     f'{runs}/still.png', '--samples', '4',
                                     '--out', f'{runs}/image.mp4'],
           10),
  ]


def warm_processes(runs):
  """What starts the processes of the steps, each a fork of one that has imported JAX already.

  Compiled programs are shared through a folder of `runs`.
  """
  os.environ['JAX_COMPILATION_CACHE_DIR'] = str((runs / 'compiled').resolve())
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '3'
  # A quarter less time in the compiler; steps take as long (measured).
  os.environ['XLA_FLAGS'] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1"
  # Pages of 2 MiB: a step asks for its memory anew, and takes 0.36 s in place of 0.50.
  os.environ.setdefault('GLIBC_TUNABLES', 'glibc.malloc.hugetlb=1')
  os.environ['PYTHONPATH'] = str(ROOT)
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(['svdjax.train'])
  return context


def execute(command, log):
  """Runs a Python command line (without 'python') in this process, its output in a log."""
  with open(log, 'w') as output:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
  if command[0] == '-m':
    sys.argv = command[1:]
    runpy.run_module(command[1], run_name='__main__', alter_sys=True)
  else:
    sys.argv = command
    runpy.run_path(command[0], run_name='__main__')


def last_line(log):
  """The newest line of a log in which a progress bar may overwrite itself."""
  lines = log.read_text(errors='replace').replace('\r', '\n').strip().splitlines()
  return lines[-1] if lines else 'no output'


def run(step, runs, processes, prefix):
  """Runs one step, its newest line of output shown on a terminal meanwhile; seconds it took.

  Raises:
    SystemExit: it failed; its log is named.
  """
  log, since = runs / 'logs' / f'{step.name}.log', time.monotonic()
  log.write_text('')
  process = processes.Process(target=execute, args=(step.command, str(log)))
  process.start()
  try:
    while process.is_alive():
      process.join(0.3)
      if sys.stdout.isatty():
        print(f'\r{prefix} {last_line(log)}'[:100].ljust(100), end='', flush=True)
  finally:
    process.terminate()
  if process.exitcode:
    sys.exit(f'\n{step.name} failed: {last_line(log)}\nits log is {log}; running this command '
             'again goes on from here')
  return time.monotonic() - since


def run_all(todo, runs):
  """Runs steps one after another (two at a time slow each other down threefold on two cores).

  Raises:
    SystemExit: a step failed.
  """
  processes = warm_processes(runs)
  began, total, work = time.monotonic(), len(todo), sum(s.seconds for s in todo)
  for i, step in enumerate(todo):
    seconds = run(step, runs, processes, f'[{i + 1}/{total}]')
    (runs / 'logs' / f'{step.name}.done').write_text(f'{seconds:.0f} s\n')
    left, elapsed = sum(s.seconds for s in todo[i + 1:]), time.monotonic() - began
    eta = elapsed / max(work - left, 1) * left
    line = (f'[{i + 1}/{total}] {step.name}: {seconds:.0f} s; {elapsed:.0f} s so far, about '
            f'{eta:.0f} s left')
    print(('\r' if sys.stdout.isatty() else '') + line.ljust(100), flush=True)


def number(x):
  """A figure in words; None is what could not be measured."""
  return 'undefined' if x is None else f'{x:.3g}'


def summary(runs):
  """Prints what was measured and where the videos are."""
  print('\nMeasured on held-out clips: mean ± spread over sampling seeds (chance and trivial '
        'answers in brackets)')
  for file in sorted(runs.glob('measure_*.json')):
    report = json.loads(file.read_text())
    print(f'{file.stem[8:]}:')
    for row in report['figures']:
      versus = ', '.join(f'{k} {number(v)}' for k, v in row['baselines'].items())
      spread = f' ± {number(row["spread"])}' if len(row['values']) > 1 else ''
      print(f'  {row["name"]:24s} {number(row["mean"])}{spread} {row["unit"]}  ({versus})')
  print(f'\nvideos: {runs}/text-0.mp4 … (from a caption), {runs}/image-0.mp4 … (from '
        f'{runs}/still.png); film strips beside them as .png, GIFs as .gif')
  print(f'stages: {runs}/<stage>, each with its samples/ and metrics.jsonl; watch them with '
        f'`tensorboard --logdir {runs}`')


def main():
  """Runs what is missing."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--runs', default='runs/quickstart', help='folder for all results')
  parser.add_argument('--times', type=float, default=1.,
                      help='train every stage this many times as long')
  args = parser.parse_args()
  runs = pathlib.Path(args.runs)
  if args.times <= 0:
    parser.error(f'--times {args.times:g} is not above 0: 1 is the quickstart, 6 three quarters of an hour')
  os.chdir(ROOT)
  sys.path.insert(0, str(ROOT))
  (runs / 'logs').mkdir(parents=True, exist_ok=True)
  todo = [s for s in steps(runs, args.times) if not (runs / 'logs' / f'{s.name}.done').is_file()]
  if todo:
    minutes = sum(s.seconds for s in todo) / 60
    print(f'{len(todo)} steps, about {minutes:.0f} minutes on 2 cores; logs in {runs}/logs',
          flush=True)
  run_all(todo, runs)
  summary(runs)


if __name__ == '__main__':
  main()
