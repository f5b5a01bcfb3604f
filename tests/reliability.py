"""What svdjax promises of a run, beside what was found on this machine.

    python tests/reliability.py [--kills 50] [--steps 200] [--only T3,T4]

Kills, signals and long runs are made here, on real processes of a nano stage; the rest are the
tests of this folder, run once and read by name. Ends with 1 if a promise is broken.
"""

import argparse
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from svdjax.core import ledger, platform

platform.configure()

from lab import Lab

# Promise and the tests that hold it, by words of their names; see also CHECKS below.
TESTS = {
    'T5': ('SIGTERM to one of 2 and of 4 processes: all save the same step and end with 0 within '
           '15 s', 'test_distributed.py', 'sigterm'),
    'T6': ('kill -9 of one of 2 processes ends the other within 40 s, and the run goes on',
           'test_distributed.py', 'death'),
    'T7': ('saved on one mesh, restored bitwise on 10 others; 10 steps on within 1e-5',
           'test_sharding.py', 'any_mesh or another_mesh'),
    'T8': ('a run goes on with 0, 1, 2 or 8 workers in 1, 2 or 4 processes, whatever it began '
           'with: the same clips in the same order, none missed or repeated in an epoch',
           'inputs/test_pipeline.py',
           'goes_on_with_the_same_clips or threads or from_a_step or epoch or reads_its_own_rows'),
    'T9': ('one bit flipped in any file of a step is found, the step before is used',
           'test_saving.py', 'one_bit or damaged_step or without_a_good'),
    'T10': ('truncated, deleted, zeroed files are found; shapes are named', 'core/test_manifest.py',
            'damage or not_written or lacks'),
    'T11': ('a full disk costs saves; the third in a row ends the run', 'test_saving.py',
            'full_disk or gone or nothing_follows'),
    'T12': ('logs that cannot be written change nothing', 'test_survival.py', 'logs'),
    'T13': ('one damaged record of 1,000 is skipped and named, ends above 0.1 %; truncated shards are '
            'found at once', 'inputs/test_pipeline.py', 'of_a_thousand or truncated_shard'),
    'T14': ('56 hostile or unusual videos are read, or refused with a reason: no crash, no '
            'connection, at most 1 GB more memory and 5 s each', 'inputs/test_hostile.py',
            'read_or_has_its_reason or takes_long or much_memory or network'),
    'T15': ('steps that are not finite change nothing', 'test_state.py', 'not_finite'),
    'T18': ('a state may be donated as soon as save returns', 'test_saving.py', 'donated'),
    'T19': ('checkpoints of the released format are read', 'test_saving.py', 'released'),
    'T20': ('weights go to PyTorch names and back', 'convert/test_table.py', ''),
    'T21': ('samples on the way change nothing', 'test_train.py', 'same_run_twice'),
    'T24': ('one compilation for each size of clip', 'inputs/test_buckets.py', 'compiled_twice'),
    'T25': ('a changed recipe is refused with a diff, the rest is said', 'test_checkpoint.py',
            'changed_recipe or may_change or may_not')}


class Found(NamedTuple):
  """What was found, in words, and whether it keeps the promise."""
  kept: bool
  words: str


def twice(lab, _):
  """T1: the same run twice."""
  lab.whole()
  lab.start('twice').wait()
  same = lab.digest('twice') == lab.digest('whole')
  (one, _), (other, _) = lab.rows('whole'), lab.rows('twice')
  equal = sum(one[step] == other.get(step) for step in one)
  return Found(same and equal == lab.steps, f'{equal}/{lab.steps} losses equal, '
               f'sha256 {"equal" if same else "differ"}')


def halves(lab, _):
  """T2: half the steps, off the grid of saves, then the rest."""
  lab.whole()
  for steps in (lab.steps // 2 + 1, lab.steps):
    lab.start('halves', steps).wait()
  same = lab.digest('halves') == lab.digest('whole')
  return Found(same, f'sha256 {"equal" if same else "differ"}')


def ledger_error(folder, seconds):
  """Share by which a ledger's kinds of time miss the seconds that a clock outside has measured."""
  return abs(sum(ledger.summary(ledger.read(folder))['seconds'].values()) / seconds - 1.)


def kills(lab, count):
  """T3: kill -9 at random moments, from start to save."""
  lab.whole()
  folder, done, partial, worst = lab.folder / 'killed', 0, 0, 0
  began = time.monotonic()
  for _ in range(count):
    process, before = lab.start('killed', every=2), lab.latest('killed')
    if lab.random.random() < 0.8:
      lab.wait_for_step('killed', process, before)
      time.sleep(lab.random.uniform(0., 0.7))
    else:
      time.sleep(lab.random.uniform(0., 8.))
    process.kill()
    done += process.wait() == -signal.SIGKILL
    partial += bool(list((folder / 'checkpoints').glob('*.partial*')))
    worst = max([worst, *(step - max(lab.latest('killed'), 0) for step in lab.rows('killed')[0])])
  end = lab.start('killed', every=2).wait()
  error = ledger_error(folder, time.monotonic() - began)
  same = end == 0 and lab.digest('killed') == lab.digest('whole')
  wrong, left = lab.rows('killed')[1], len(list((folder / 'checkpoints').glob('*partial*')))
  kept = same and not wrong and not left and worst <= 2 and error < 0.01
  return Found(kept, f'{done} kills, {partial} within a save; sha256 '
               f'{"equal" if same else "differ"}, {wrong} repeated steps differ, {left} partial '
               f'folders left, at most {worst} steps lost; ledger sums to wall time within '
               f'{error:.2%}')


def wall(lab, _):
  """T22: five kills, two of them amid a start; the time is taken by a clock outside."""
  folder, began, starts, worst = lab.folder / 'wall', time.monotonic(), [], 0
  for kill in range(5):
    process, before, start = lab.start('wall', every=2), lab.latest('wall'), time.monotonic()
    if kill % 2:
      time.sleep(0.8 * starts[-1])
    else:
      lab.wait_for_step('wall', process, before)
      starts.append(time.monotonic() - start)
      time.sleep(lab.random.uniform(0., 4.))
    process.kill()
    process.wait()
    worst = max([worst, *(step - lab.latest('wall') for step in lab.rows('wall')[0])])
  end = lab.start('wall', every=2).wait()
  seconds = time.monotonic() - began
  error, spent = ledger_error(folder, seconds), ledger.summary(ledger.read(folder))['seconds']
  kept = not end and error < 0.01 and max(starts) < 60. and worst <= 2
  return Found(kept, f'{error:.2%} of {seconds:.0f} s missed, {spent["down"]:.1f} s down; at most '
               f'{worst} steps lost, first save after at most {max(starts):.1f} s')


def sigterm(lab, name, before=''):
  """Ends a run that would go on for long."""
  process = lab.start(name, 10 ** 6, 10 ** 6, before)
  while not lab.rows(name)[0] and process.poll() is None:
    time.sleep(0.05)
  time.sleep(1.)
  began = time.monotonic()
  process.send_signal(signal.SIGTERM)
  code = process.wait()
  seconds, lost = time.monotonic() - began, max(lab.rows(name)[0]) - lab.latest(name)
  return Found(code == 0 and lost == 0, f'rc {code}, {lost} steps lost, {seconds:.1f} s')


def sigterm_alone(lab, _):
  """T4: SIGTERM to a single process."""
  return sigterm(lab, 'sigterm')


def sigterm_distributed(lab, _):
  """T4: SIGTERM under jax.distributed."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  return sigterm(lab, 'sigterm_distributed',
                 f'import jax; jax.distributed.initialize("localhost:{port}", 1, 0)')


def orphans(lab, _):
  """T17: kill -9 of the trainer leaves no process of the run."""
  process = lab.start('orphans', 10 ** 6)
  lab.wait_for_step('orphans', process, -1)
  process.kill()
  process.wait()
  time.sleep(2.)
  mark, alive = f'{lab.folder}/orphans', 0
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    try:
      alive += mark.encode() in path.read_bytes()
    except OSError:
      continue
  return Found(not alive, f'{alive} processes alive after 2 s')


def full_stderr(lab, _):
  """T12: stderr on a full disk."""
  process = lab.start('stderr', 20, before='import os\nfull = os.open("/dev/full", os.O_WRONLY)\n'
                      'os.dup2(full, 2)')
  code = process.wait()
  return Found(code == 0 and lab.latest('stderr') == 20, f'rc {code}')


def warm(lab, _):
  """T24: a start that finds the programs of an earlier one."""
  kept, seconds = dict(os.environ), {}
  os.environ['JAX_COMPILATION_CACHE_DIR'] = str(lab.folder / 'cold programs')
  del os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS']
  for name in ('cold', 'warm'):
    lab.start(name, 2).wait()
    spent = ledger.summary(ledger.read(lab.folder / name))['seconds']
    seconds[name] = spent['init'] + spent['compile']
  os.environ |= kept
  return Found(seconds['warm'] <= 0.5 * seconds['cold'],
               f'{seconds["warm"]:.1f} s in place of {seconds["cold"]:.1f} s before the first step')


CHECKS = [
    ('T1', 'the same run twice is bitwise the same', twice),
    ('T2', 'half and half is bitwise the whole', halves),
    ('T3', 'kill -9 loses at most the save interval (2 steps); resumed bitwise', kills),
    ('T4', 'SIGTERM saves and ends with 0', sigterm_alone),
    ('T4', 'SIGTERM under jax.distributed too', sigterm_distributed),
    ('T12', 'stderr on a full disk ends nothing', full_stderr),
    ('T17', 'no process outlives the trainer', orphans),
    ('T22', 'after 5 kills the ledger sums to the wall time of a clock outside within 1 %; each '
     'loses at most the save interval (2 steps); the next saves within 60 s of its start', wall),
    ('T24', 'with the programs of an earlier start, one takes half the time', warm)]


def run_tests(names, folder):
  """{number: Found} of the tests in TESTS."""
  found = {}
  for name in names:
    _, file, words = TESTS[name]
    report = folder / f'{name}.xml'
    subprocess.run([sys.executable, '-m', 'pytest', '-q', f'tests/{file}', '-k', words,
                    f'--junitxml={report}'], cwd=ROOT, check=False, capture_output=True)
    suite = ElementTree.parse(report).find('testsuite')
    count = {n: int(suite.get(n)) for n in ('tests', 'failures', 'errors', 'skipped')}
    bad = count['failures'] + count['errors']
    ran = count['tests'] - count['skipped']
    names_run = [case.get('name') for case in suite.iter('testcase') if case.find('skipped') is None]
    unmet = [word for word in words.split(' or ') if not any(word in n for n in names_run)]
    measured = [f', {p.get("name")} {p.get("value")}' for p in suite.iter('property')]
    found[name] = Found(not (bad or unmet), f'{ran - bad}/{ran} tests pass' + ''.join(measured)
                        + ''.join(f', no test of "{word}"' for word in unmet))
  return found


def main():
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--kills', type=int, default=50)
  parser.add_argument('--steps', type=int, default=200, help='of the runs that are compared')
  parser.add_argument('--only', default='', help='numbers such as T3,T4')
  args = parser.parse_args()
  wanted = set(filter(None, args.only.split(','))) or {*TESTS, *(n for n, _, _ in CHECKS)}
  lab, kept = Lab(args.steps), True
  checks = ((number, promise, lambda check=check: check(lab, args.kills))
            for number, promise, check in CHECKS)
  tests = ((number, promise, lambda number=number: run_tests([number], lab.folder)[number])
           for number, (promise, _, _) in TESTS.items())
  for number, promise, check in itertools.chain(checks, tests):
    if number in wanted:
      found = check()
      kept &= found.kept
      print(f'{number:4s} {"kept" if found.kept else "BROKEN":6s} {promise}: {found.words}',
            flush=True)
  if kept:
    shutil.rmtree(lab.folder)
  else:
    sys.exit(f'the runs are in {lab.folder}')


if __name__ == '__main__':
  main()
