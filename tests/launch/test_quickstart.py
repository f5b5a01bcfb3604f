"""The quickstart's steps run in order, two lanes of them side by side, and stop where one fails."""

import os

import pytest

from launch import quickstart
from launch.quickstart import Step


def step(name, lane='', code='', seconds=1.):
  """A step that notes in a file OUT when it began and ended, and on how many cores."""
  script = (f'import os, time; since = time.time(); {code}\n'
            f'open(OUT, "a").write(f"{name} {{since}} {{time.time()}} '
            '{len(os.sched_getaffinity(0))}\\n")')
  return Step(name, script, seconds, lane)


def meeting(here, there):
  """Code that ends when another step has come to its own meeting, or fails after two minutes."""
  return (f'open(OUT + "{here}", "w").close(); until = time.time() + 120\n'
          f'while not os.path.exists(OUT + "{there}"):\n'
          f'  assert time.time() < until; time.sleep(0.05)')


@pytest.fixture
def ran(tmp_path, monkeypatch):
  """ran(steps) runs them -> {name: (began, ended, cores)}.

  Scripts are told OUT in their text: the server that forks them keeps the environment it began with.
  """
  def run(steps):
    (tmp_path / 'logs').mkdir(exist_ok=True)
    scripts = []
    for s in steps:
      file = tmp_path / f'{s.name}.py'
      file.write_text(f'OUT = {str(tmp_path / "out")!r}\n{s.command}')
      scripts.append(s._replace(command=(str(file),)))
    for name in ('JAX_COMPILATION_CACHE_DIR', 'XLA_FLAGS', 'PYTHONPATH', 'GLIBC_TUNABLES',
                 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'):
      monkeypatch.setenv(name, os.environ.get(name, ''))  # undone after the test
    quickstart.run_all(scripts, tmp_path)
    rows = [line.split() for line in (tmp_path / 'out').read_text().splitlines()]
    return {name: (float(began), float(ended), int(cores)) for name, began, ended, cores in rows}

  return run


def test_lanes_run_side_by_side_on_their_own_cores_and_all_else_in_order(ran):
  cores = len(os.sched_getaffinity(0))
  rows = ran([step('first'), step('left1', 'a', meeting('l', 'r')),
              step('right', 'b', meeting('r', 'l')), step('left2', 'a'), step('last')])
  for before, after in (('first', 'left1'), ('first', 'right'), ('left1', 'left2'),
                        ('left2', 'last'), ('right', 'last')):
    assert rows[before][1] <= rows[after][0]
  assert rows['first'][2] == cores and rows['left1'][2] == max(1, cores // 2)
  assert rows['left1'][2] + rows['right'][2] == max(2, cores)


def test_a_failed_step_ends_the_others_and_is_named(ran, tmp_path):
  with pytest.raises(SystemExit, match=r'(?s)bad failed.*logs/bad.log'):
    ran([step('bad', 'a', code='raise ValueError("no")'), step('slow', 'b', code='time.sleep(60)'),
         step('never')])
  assert not (tmp_path / 'logs' / 'never.log').exists()
  assert not (tmp_path / 'logs' / 'slow.done').exists()


def test_every_stage_comes_after_those_it_starts_from(tmp_path):
  steps = quickstart.steps(tmp_path, 1.)
  names = [s.name for s in steps]
  for i, s in enumerate(steps):
    sources = [w.split('=')[1] for w in s.command if w.startswith('--config.init_from=')]
    for source in (os.path.basename(p) for w in sources for p in w.split(',')):
      at = names.index(source)
      apart = any(not t.lane for t in steps[at:i + 1])  # a step alone, before which all others end
      assert at < i and (apart or steps[at].lane == s.lane)


def test_time_is_that_of_the_longer_lane():
  assert quickstart.wall([step('a', seconds=5.), step('b', 'x', seconds=7.), step('c', 'y'),
                          step('d', 'y'), step('e', seconds=3.)]) == 15.
