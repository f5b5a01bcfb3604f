"""Launchers print what they would run, and refuse to run half-told."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = {'NAME': 'pod', 'ZONE': 'us-east5-a', 'TYPE': 'v5p-32', 'VERSION': 'v2-alpha-tpuv5',
            'CLUSTER': 'cluster'}
TRAIN = ('train', '--config', 'experiments/i2v_14f.py', '--workdir=/mnt/my runs/a')


def launch(script, *args, env=SETTINGS):
  return subprocess.run(['bash', f'launch/{script}.sh', '--dry-run', *args], cwd=ROOT, text=True,
                        env={'PATH': os.environ['PATH']} | env, capture_output=True, check=False)


@pytest.mark.parametrize('script, verb, words', [
    ('tpu', 'create', 'tpu-vm create pod --zone=us-east5-a --accelerator-type=v5p-32'),
    ('tpu', 'queue', 'queued-resources create pod --node-id=pod'),
    ('tpu', 'install', 'tpu-vm scp'), ('tpu', 'doctor', 'launch/doctor.py'),
    ('tpu', 'delete', 'tpu-vm delete pod'),
    ('tpu', 'dequeue', 'queued-resources delete pod --zone=us-east5-a --force'),
    ('gke', 'create', '--num-slices=1 --on-demand'),
    ('gke', 'doctor', 'xpk workload create'), ('gke', 'delete', 'xpk workload delete'),
    ('slurm', 'install', 'pip install'), ('slurm', 'doctor', 'sbatch'),
    ('gpu', 'doctor', 'launch/doctor.py'), ('gpu', 'install', 'pip install')])
def test_a_dry_run_prints_the_commands_and_runs_none(script, verb, words):
  out = launch(script, verb)
  assert out.returncode == 0, out.stderr
  assert words in out.stdout
  assert all(line.startswith('+ ') for line in out.stdout.splitlines())


@pytest.mark.parametrize('script', ['tpu', 'gke', 'slurm', 'gpu'])
def test_training_options_survive_all_shells(script):
  """Unquoted as often as shells lie between, the options are the ones that were given."""
  out = launch(script, *TRAIN)
  text = out.stdout
  while '\\' in text:
    text = text.replace('\\\\', '\0').replace('\\', '').replace('\0', '\\')
  assert '-m svdjax.main' in text and '--workdir=/mnt/my runs/a' in text
  assert ('--distributed' in text) == (script != 'gpu')


@pytest.fixture
def fake(tmp_path):
  """fake(name, script) puts a command of this name first in PATH."""

  def command(name, script):
    path = tmp_path / name
    path.write_text(f'#!/usr/bin/env bash\n{script}\n')
    path.chmod(0o755)

  command.path = f'{tmp_path}:{os.environ["PATH"]}'
  return command


@pytest.mark.parametrize('script, asked, code', [
    ('slurm', True, 0), ('slurm', False, 3), ('gke', True, 143), ('gke', False, 3)])
def test_a_job_passes_sigterm_on_and_comes_again(fake, tmp_path, script, asked, code):
  """Of a run that saves when it is asked to end, or fails on its own. SIGTERM to srun itself kills."""
  shell = f'echo $$ > {tmp_path}/pid\nexec sh -c'
  fake('sbatch', f'{shell} "${{!##--wrap=}}"')
  fake('xpk', f'{shell} "${{!##--command=}}"')
  run = 'trap "echo saved; exit 0" TERM; echo up; sleep 5 & wait' if asked else 'exit 3'
  fake('python', run)
  fake('task', f'echo $$ > {tmp_path}/task\n{run}')
  fake('srun', 'task & trap "kill -9 $!; exit 137" TERM; wait $!')
  fake('scancel', f'[ "$*" = "--signal=TERM 7" ] && kill -TERM $(cat {tmp_path}/task)')
  fake('pip', '')
  fake('scontrol', f'echo "$@" > {tmp_path}/said')
  job = subprocess.Popen(['bash', f'launch/{script}.sh', *TRAIN], cwd=ROOT, text=True,
                         stdout=subprocess.PIPE,
                         env=SETTINGS | {'PATH': fake.path, 'SLURM_JOB_ID': '7'})
  if asked:
    while job.stdout.readline() != 'up\n':
      pass
    os.kill(int((tmp_path / 'pid').read_text()), signal.SIGTERM)
    assert job.stdout.readline() == 'saved\n'
  assert job.wait(timeout=20) == code
  if script == 'slurm' and asked:
    assert (tmp_path / 'said').read_text() == 'requeue 7\n'
  else:
    assert not (tmp_path / 'said').exists()


@pytest.mark.parametrize('workdir', [('--workdir', 'runs/a'), ('--workdir=runs/a',)])
def test_the_output_of_a_run_in_the_background_goes_beside_its_workdir(workdir):
  assert '>> runs/a.log' in launch('gpu', *TRAIN[:-1], *workdir).stdout.replace('\\', '')


@pytest.mark.parametrize('setting, words', [('SPOT', '--spot'), ('RESERVATION', '--reservation=1')])
def test_a_cluster_is_asked_for_one_kind_of_nodes(setting, words):
  out = launch('gke', 'create', env=SETTINGS | {setting: '1'}).stdout
  assert words in out and '--on-demand' not in out


@pytest.mark.parametrize('script, missing', [('tpu', 'ZONE'), ('gke', 'CLUSTER')])
def test_a_missing_setting_is_named(script, missing):
  out = launch(script, 'create', env={n: x for n, x in SETTINGS.items() if n != missing})
  assert out.returncode == 2 and f'{missing} is not set' in out.stderr and not out.stdout


@pytest.mark.parametrize('script', ['tpu', 'gke', 'slurm', 'gpu'])
def test_an_unknown_verb_prints_the_page(script):
  out = launch(script, 'fly')
  assert out.returncode == 2 and f'bash launch/{script}.sh' in out.stdout


def test_the_doctor_sums_over_all_devices():
  flags = '--xla_force_host_platform_device_count=4'
  out = subprocess.run([sys.executable, 'launch/doctor.py'], cwd=ROOT, capture_output=True,
                       text=True, check=False, env=os.environ | {
                           'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)})
  assert out.returncode == 0, out.stderr
  assert 'process 0 of 1' in out.stdout and 'a sum over 4 devices is right' in out.stdout
