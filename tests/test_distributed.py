"""Real processes that find each other over the network train as one process does."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from svdjax import checkpoint

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('compiled')]


def free_port():
  with socket.socket() as s:
    s.bind(('localhost', 0))
    return s.getsockname()[1]


def run(toy, workdir, processes, fsdp, steps=3):
  """Trains on 4 devices spread over `processes`; their stderr."""
  port, started = free_port(), []
  for process in range(processes):
    together = ['--coordinator', f'localhost:{port}', '--processes', str(processes),
                '--process', str(process)] if processes > 1 else []
    flags = f'--xla_force_host_platform_device_count={4 // processes}'
    started.append(subprocess.Popen(
        [sys.executable, '-m', 'svdjax.main', '--config', 'tests/nano.py:autoencoder', '--workdir',
         str(workdir), f'--config.data.source={toy}', '--config.train.batch_size=8',
         f'--config.train.steps={steps}', '--config.mesh.data=0', f'--config.mesh.fsdp={fsdp}',
         '--config.sample.clips=2', '--config.optim.decay=False', *together],
        cwd=ROOT, env=os.environ | {'XLA_FLAGS': flags}, stderr=subprocess.PIPE, text=True))
  errors = [p.communicate(timeout=600)[1] for p in started]
  assert [p.returncode for p in started] == [0] * processes, errors
  return errors


def losses(workdir):
  return [json.loads(line)['loss'] for line in (workdir / 'metrics.jsonl').open()]


@pytest.fixture(scope='module')
def alone(toy, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('alone')
  run(toy, workdir, 1, 2)
  return workdir


@pytest.mark.parametrize('processes', [2, 4])
def test_processes_are_as_one(toy, tmp_path, alone, processes):
  """Same devices, same program: what differs is the order of sums between processes."""
  errors = run(toy, tmp_path, processes, 2)
  np.testing.assert_allclose(losses(tmp_path), losses(alone), rtol=1e-5)
  found, expected = checkpoint.load(tmp_path)[1], checkpoint.load(alone)[1]
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, atol=2e-5, err_msg=name)
  assert len(losses(tmp_path)) == 3  # one process alone has written
  assert 'parameters' in errors[0].lower() and 'steps/s' not in errors[1]


def test_one_process_goes_on_where_two_ended(toy, tmp_path, alone):
  run(toy, tmp_path, 2, 2, steps=2)
  run(toy, tmp_path, 1, 1)
  np.testing.assert_allclose(losses(tmp_path)[-1], losses(alone)[-1], rtol=1e-5)


def test_half_a_description_of_the_processes_is_refused(toy, tmp_path):
  out = subprocess.run(
      [sys.executable, '-m', 'svdjax.main', '--config', 'tests/nano.py:autoencoder', '--workdir',
       str(tmp_path), '--coordinator', 'localhost:1'], cwd=ROOT, capture_output=True, text=True,
      check=False)
  assert out.returncode == 2 and 'belong together' in out.stderr
