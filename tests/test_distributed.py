"""Real processes that find each other over the network work as one: in order, and when one dies."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from svdjax import checkpoint
from svdjax.core import distributed, faults, jsonl
from svdjax.inputs import encoded, pipeline, record

ROOT = pathlib.Path(__file__).parents[1]
ENDLESS = 10 ** 6  # steps
GRACE = 15.  # seconds from SIGTERM to the end of all processes
PREVIEWS = {'sample.clips': 2}
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('compiled')]


@pytest.fixture
def start():
  """start(processes, *command) -> that many, told of each other; none outlives the test.

  PROCESS in a command is the process's own number.
  """
  started = []

  def begin(processes, *command):
    with socket.socket() as s:
      s.bind(('localhost', 0))
      place = f'localhost:{s.getsockname()[1]}'
    flags = f'--xla_force_host_platform_device_count={4 // processes}'
    for process in range(processes):
      together = ['--coordinator', place, '--processes', str(processes), '--process',
                  str(process)] if processes > 1 else []
      started.append(subprocess.Popen(
          [sys.executable, *(str(c).replace('PROCESS', str(process)) for c in command), *together],
          cwd=ROOT, text=True,
          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
          env=os.environ | {'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)}))
    return started[-processes:]

  yield begin
  for process in started:
    process.kill()
    process.communicate()


def finish(started, timeout=600.):
  """What processes wrote to stdout and stderr until they ended well."""
  written = [p.communicate(timeout=timeout) for p in started]
  assert [p.returncode for p in started] == [0] * len(started), written
  return written


def training(toy, workdir, steps=3, every=ENDLESS, **changes):
  """The command that trains the nano autoencoder on 4 devices in any number of processes."""
  changes = {'data.source': toy, 'train.batch_size': 8, 'train.steps': steps, 'mesh.data': 0,
             'mesh.fsdp': 2, 'sample.clips': 0, 'optim.decay': False,
             'checkpoint.every': every} | changes
  return ['-m', 'svdjax.main', '--config', 'tests/nano.py:autoencoder', '--workdir', workdir,
          *(f'--config.{name}={value}' for name, value in changes.items())]


def losses(workdir):
  return [json.loads(line)['loss'] for line in (workdir / 'metrics.jsonl').open()]


def wait_for(there, started, timeout=300.):
  """Waits until `there()`, while all processes live."""
  began = time.monotonic()
  while not there():
    for process in started:
      assert process.poll() is None, process.communicate()
    assert time.monotonic() - began < timeout
    time.sleep(0.05)


@pytest.fixture(scope='module')
def alone(toy, tmp_path_factory):
  """The workdir of a single process with 4 devices."""
  workdir = tmp_path_factory.mktemp('alone')
  flags = '--xla_force_host_platform_device_count=4'
  command = map(str, training(toy, workdir, **PREVIEWS))
  subprocess.run([sys.executable, *command], cwd=ROOT, check=True,
                 env=os.environ | {'XLA_FLAGS': flags})
  return workdir


def test_a_workdir_that_is_not_one_folder_for_all_is_refused(start, toy, tmp_path):
  processes = start(2, *training(toy, tmp_path / 'PROCESS'))
  for process in processes:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and 'is not one folder for all processes' in said


@pytest.mark.parametrize('processes', [2, 4])
def test_processes_are_as_one(start, toy, tmp_path, alone, processes):
  """Same devices, same program: what differs is the order of sums between processes."""
  written = finish(start(processes, *training(toy, tmp_path, **PREVIEWS)))
  np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-5)
  found, expected = checkpoint.load(tmp_path)[1], checkpoint.load(alone)[1]
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, atol=2e-5, err_msg=name)
  assert len(losses(tmp_path)) == 3  # one process alone has written
  assert 'parameters' in written[0][1].lower() and 'steps/s' not in written[1][1]


def test_one_process_goes_on_where_two_ended(start, toy, tmp_path, alone):
  finish(start(2, *training(toy, tmp_path, steps=2)))
  finish(start(1, *training(toy, tmp_path)))
  np.testing.assert_allclose(losses(tmp_path)[-1], losses(alone)[-1], rtol=1e-5)


@pytest.mark.parametrize('processes', [2, 4])
def test_sigterm_to_one_process_saves_one_step_of_all_and_ends_them_well(
    start, toy, tmp_path, processes, record_testsuite_property):
  """T5: from the signal to the end of the last one."""
  started = start(processes, *training(toy, tmp_path, ENDLESS))
  wait_for(lambda: jsonl.read(tmp_path / 'metrics.jsonl'), started)  # its first step
  began = time.monotonic()
  started[-1].send_signal(signal.SIGTERM)
  written = finish(started, timeout=120.)
  seconds = time.monotonic() - began
  record_testsuite_property(f'seconds of {processes}', round(seconds, 1))
  assert seconds < GRACE
  step, = checkpoint.saved_steps(tmp_path)
  assert step == len(losses(tmp_path))  # no step is lost
  assert f'ends at step {step}' in written[0][1]


@pytest.mark.parametrize('victim', [0, 1])
def test_the_death_of_one_process_ends_the_other_and_the_run_goes_on(start, toy, tmp_path, victim):
  """T6: of the one that the others are told by, too."""
  started = start(2, *training(toy, tmp_path, ENDLESS, every=4))
  wait_for(lambda: checkpoint.saved_steps(tmp_path), started)
  started[victim].kill()
  assert started[1 - victim].wait(timeout=distributed.HEARTBEAT + 10.) != 0
  last = max(checkpoint.saved_steps(tmp_path))
  written = finish(start(2, *training(toy, tmp_path, last + 1, every=4)))
  assert f'resuming {tmp_path} at step {last}' in written[0][1]


def test_what_ends_one_process_ends_all(start, toy, tmp_path):
  """Records of which one process alone reads too many that are damaged."""
  found = pipeline.records(toy, 'train')
  clips = [record.decode(found[i]) for i in range(len(found))]
  for number in (3, 5):
    clips[number]['video'] = b'no video'
  record.write_split(tmp_path / 'data', 'train', clips)
  started = start(2, *training(tmp_path / 'data', tmp_path / 'run', ENDLESS))
  codes = [p.wait(timeout=300.) for p in started]
  assert 0 not in codes and 2 in codes
  assert any('records of' in p.communicate()[1] for p in started)
  assert all(row['kind'] == 'record' for row in faults.read(tmp_path / 'run'))


def test_two_processes_encode_what_one_does(start, toy, workdir_of, tmp_path):
  found = pipeline.records(toy, 'train')
  record.write_split(tmp_path / 'data', 'train', [record.decode(found[i]) for i in range(4)], 3)
  command = ['-m', 'data.encode', '--input', tmp_path / 'data', '--height', 16, '--width', 24,
             '--checkpoint', f'{workdir_of("autoencoder")},{workdir_of("clip")}', '--output']
  for processes, name in ((1, 'one'), (2, 'two')):
    finish(start(processes, *command, tmp_path / name))
  names = sorted(p.name for p in (tmp_path / 'one').iterdir())
  assert names == sorted(p.name for p in (tmp_path / 'two').iterdir())
  one, two = (pipeline.records(tmp_path / name, 'train') for name in ('one', 'two'))
  for i in range(4):
    a, b = (record.decode(source[i], encoded.features()) for source in (one, two))
    assert a['clip_id'] == b['clip_id']
    np.testing.assert_allclose(a['moments'], b['moments'], atol=1e-2)  # float16 on disk


def test_the_doctor_sums_over_all_processes(start):
  written = finish(start(2, 'launch/doctor.py'))
  assert 'a sum over 4 devices is right' in written[0][0] and 'ready' not in written[1][0]
  assert [f'process {i} of 2' in text for i, (text, _) in enumerate(written)] == [True, True]


def test_half_a_description_of_the_processes_is_refused(tmp_path):
  out = subprocess.run(
      [sys.executable, '-m', 'svdjax.main', '--config', 'tests/nano.py:autoencoder', '--workdir',
       str(tmp_path), '--coordinator', 'localhost:1'], cwd=ROOT, capture_output=True, text=True,
      check=False)
  assert out.returncode == 2 and 'belong together' in out.stderr
