"""The steps of the quickstart: data, all stages at `tiny`, samples, and what they measure.

Steps whose result is there are left out.
"""

import argparse
import collections
import importlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import runpy
import sys
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Step(NamedTuple):
  """A command and about how long it takes; one with a lane may run beside other lanes' steps."""
  name: str
  command: tuple[str, ...]
  seconds: float
  lane: str = ''


def stage(runs, name, experiment, init, setup, train, times):
  """A training stage: experiments/`experiment` into runs/`name`.

  Args:
    setup, train: about how many seconds it takes to start and end, and to train.
    times: how many times its steps are trained.
  """
  file, _, arg = experiment.partition(':')
  steps = importlib.import_module(f'experiments.{file[:-3]}').get_config(arg).train.steps
  command = ('-m', 'svdjax.main', '--config', f'experiments/{experiment}', '--workdir',
             f'{runs}/{name}', f'--config.data.source={runs}/toy',
             f'--config.train.steps={max(1, round(steps * times))}')
  if init:
    command += ('--config.init_from=' + ','.join(f'{runs}/{i}' for i in init),)
  return Step(name, command, setup + train * times)


def evaluation(runs, name, seconds, *options):
  """Measures stage `name` on held-out clips."""
  return Step(f'measure_{name}', (
      '-m', 'svdjax.evaluate', '--checkpoint', f'{runs}/{name}', '--data', f'{runs}/toy',
      '--out', f'{runs}/measure_{name}.json', '--strip', f'{runs}/measure_{name}.png',
      *options), seconds)


def steps(runs, times):
  """All steps, each after those it needs; stages train `times` as long as their files say."""
  def train(name, experiment, init, setup, seconds, lane=''):
    return stage(runs, name, experiment, init, setup, seconds, times)._replace(lane=lane)

  def measure(name, seconds, lane, *options):
    return evaluation(runs, name, seconds, *options)._replace(lane=lane)

  def sample(name, seconds, lane, *options):
    command = ('-m', 'svdjax.sample', '--strip', '--gif', '--decoder', f'{runs}/decoder',
               '--samples', '4', *options)
    return Step(name, command, seconds, lane)

  video = ('--steps', '10', '--clips', '32' if times > 1 else '16')
  return [
      Step('toy', ('-m', 'data.toyworld', '--output', f'{runs}/toy', '--clips', '1500',
                   '--test-clips', '200', '--height', '48', '--width', '64', '--frames', '16',
                   '--fps', '12', '--kinds', 'object:5,pointer:4,camera:1'), 30),
      Step('still', ('launch/still.py', f'{runs}/toy', f'{runs}/still.png'), 1),
      train('autoencoder', 'autoencoder.py:tiny', (), 30, 55),
      train('clip', 'clip.py:tiny', (), 15, 12),
      train('image_discrete', 'image_discrete.py:tiny', ('autoencoder', 'clip'), 50, 75, 'image'),
      train('decoder', 'autoencoder.py:tiny,temporal', ('autoencoder',), 50, 10, 'side'),
      measure('autoencoder', 10, 'side'),
      measure('decoder', 10, 'side'),
      train('image_adapt', 'image_pretrain.py:tiny,adapt', ('image_discrete',), 15, 5, 'image'),
      train('image_pretrain', 'image_pretrain.py:tiny', ('image_adapt',), 36, 12, 'image'),
      train('video_low', 'video_pretrain.py:tiny', ('image_pretrain',), 60, 60),
      train('video_pretrain', 'video_pretrain.py:tiny,high', ('video_low',), 30, 10),
      train('t2v', 't2v_hq.py:tiny', ('video_pretrain',), 45, 10, 'text'),
      measure('t2v', 40, 'text', *video),
      sample('sample_text', 20, 'text', '--checkpoint', f'{runs}/t2v', '--prompt',
             'over grey stripes a red circle moving right quickly', '--out', f'{runs}/text.mp4'),
      train('i2v_base', 'i2v_14f.py:tiny,base', ('video_pretrain', 'clip'), 75, 75, 'image'),
      train('i2v_14f', 'i2v_14f.py:tiny', ('i2v_base',), 35, 10, 'image'),
      measure('i2v_14f', 50, 'image', *video),
      sample('sample_image', 15, 'image', '--checkpoint', f'{runs}/i2v_14f', '--image',
             f'{runs}/still.png', '--out', f'{runs}/image.mp4'),
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


def execute(command, log, cores):
  """Runs a Python command line (without 'python') in this process, its output in a log.

  `cores` are those it may use, None for all; JAX makes as many threads as it finds.
  """
  if cores and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, cores)
  with open(log, 'w') as output:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
  if command[0] == '-m':
    sys.argv = list(command[1:])
    runpy.run_module(command[1], run_name='__main__', alter_sys=True)
  else:
    sys.argv = list(command)
    runpy.run_path(command[0], run_name='__main__')


def last_line(log):
  """The newest line of a log in which a progress bar may overwrite itself."""
  lines = log.read_text(errors='replace').replace('\r', '\n').strip().splitlines()
  return lines[-1] if lines else 'no output'


def wall(steps):
  """About how many seconds steps take, those of two lanes beside each other."""
  total = 0.
  for beside, group in itertools.groupby(steps, key=lambda step: bool(step.lane)):
    by_lane = collections.Counter()
    for step in group:
      by_lane[step.lane] += step.seconds
    total += max(by_lane.values()) if beside else sum(by_lane.values())
  return total


def due(waiting, running):
  """The steps to start next: one alone, or the first of each lane that has none running.

  Args:
    waiting: Steps in order; those of a lane stand together with those of the lanes beside it.
    running: Steps.
  """
  beside = list(itertools.takewhile(lambda step: step.lane, waiting))
  if running and not all(step.lane for step in running):
    return []
  if not beside:
    return [] if running else waiting[:1]
  free = {step.lane: step for step in reversed(beside)}
  return [free[lane] for lane in sorted(free) if lane not in {step.lane for step in running}]


def cores_of(step, waiting, running):
  """The cores of a step: half of them while another lane has work, else all (None)."""
  lanes = {s.lane for s in itertools.takewhile(lambda s: s.lane, waiting)} | {
      s.lane for s in running} | {step.lane}
  mine = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
  if not step.lane or len(lanes) == 1 or len(mine) < 2:
    return None
  half = len(mine) // 2
  return set(mine[:half] if step.lane == min(lanes) else mine[half:])


def run_all(todo, runs):
  """Runs steps in order, those of two lanes side by side on half of the cores each.

  Two that have all cores slow each other down threefold.

  Raises:
    SystemExit: a step failed; its log is named.
  """
  processes, waiting, running = warm_processes(runs), list(todo), {}
  began, total, work = time.monotonic(), len(todo), wall(todo)
  log = lambda step: runs / 'logs' / f'{step.name}.log'
  try:
    while waiting or running:
      for step in due(waiting, running):
        cores = cores_of(step, waiting, running)
        waiting.remove(step)
        log(step).write_text('')
        process = processes.Process(target=execute, args=(step.command, str(log(step)), cores))
        process.start()
        running[step] = process, time.monotonic()
      multiprocessing.connection.wait([p.sentinel for p, _ in running.values()], 0.3)
      done = total - len(waiting) - len(running)
      if sys.stdout.isatty():
        shown = ' | '.join(last_line(log(step)) for step in running)
        print(f'\r[{done + 1}/{total}] {shown}'[:100].ljust(100), end='', flush=True)
      for step in [s for s, (process, _) in running.items() if not process.is_alive()]:
        process, since = running.pop(step)
        if process.exitcode:
          sys.exit(f'\n{step.name} failed: {last_line(log(step))}\nits log is {log(step)}; running '
                   'this command again goes on from here')
        seconds, done = time.monotonic() - since, done + 1
        (runs / 'logs' / f'{step.name}.done').write_text(f'{seconds:.0f} s\n')
        left, elapsed = wall([*running, *waiting]), time.monotonic() - began
        line = (f'[{done}/{total}] {step.name}: {seconds:.0f} s; {elapsed:.0f} s so far, about '
                f'{elapsed / max(work - left, 1) * left:.0f} s left')
        print(('\r' if sys.stdout.isatty() else '') + line.ljust(100), flush=True)
  finally:
    for process, _ in running.values():
      process.terminate()


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
  parser.add_argument('--times', type=float, default=0.8,
                      help='train every stage this many times as long as its experiment says; 0.8 '
                      'takes twelve minutes, 6 three quarters of an hour')
  args = parser.parse_args()
  runs = pathlib.Path(args.runs)
  if args.times <= 0:
    parser.error(f'--times {args.times:g} is not above 0: 0.8 is the quickstart')
  os.chdir(ROOT)
  sys.path.insert(0, str(ROOT))
  (runs / 'logs').mkdir(parents=True, exist_ok=True)
  told = runs / 'logs' / 'times'
  if told.is_file() and float(told.read_text()) != args.times:
    parser.error(f'{runs} was begun with --times {told.read_text()}: use that, or another --runs')
  told.write_text(f'{args.times:g}')
  todo = [s for s in steps(runs, args.times) if not (runs / 'logs' / f'{s.name}.done').is_file()]
  if todo:
    print(f'{len(todo)} steps, about {wall(todo) / 60:.0f} minutes on 2 cores; logs in {runs}/logs',
          flush=True)
  run_all(todo, runs)
  summary(runs)


if __name__ == '__main__':
  main()
