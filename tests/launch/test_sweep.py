"""A sweep names its runs, refuses what cannot run, and sums up what did."""

import json
import pathlib
import shlex
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from launch import curves, sweep
from svdjax.core.errors import BadInput

NANO = pathlib.Path(__file__).parents[1] / 'nano.py'


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
  """call(*arguments) -> stdout of a sweep of the nano autoencoder."""

  def run(*arguments, config=f'{NANO}:autoencoder'):
    monkeypatch.setattr(sys, 'argv', ['sweep', '--config', config, '--workdir',
                                      str(tmp_path / 'out'), *arguments])
    sweep.main()
    return capsys.readouterr().out

  return run


def test_several_fields_make_all_combinations():
  assert sweep.settings_of(['config.optim.lr=1e-4,3e-5', 'seed=0,1']) == [
      {'optim.lr': '1e-4', 'seed': '0'}, {'optim.lr': '1e-4', 'seed': '1'},
      {'optim.lr': '3e-5', 'seed': '0'}, {'optim.lr': '3e-5', 'seed': '1'}]


@pytest.mark.parametrize('arguments, message', [
    (['--sweep', 'config.optim.lrr=1'], 'config.optim.lrr is not a field'),
    (['--sweep', 'train.steps=3,abc'], 'config.train.steps must be a whole number, not "abc"'),
    (['--sweep', 'optim.lr'], 'is not understood'), (['--sweep', 'optim.lr=1,,2'], 'not understood'),
    (['--sweep', 'seed=1', '--sweep', 'config.seed=2'], 'names config.seed twice'),
    (['--sweep', 'seed=1', '--steps=3'], 'argument "--steps=3" is not understood'),
    ([], 'defines no sweep()')])
def test_what_cannot_run_is_refused_before_anything_does(call, tmp_path, arguments, message):
  with pytest.raises(BadInput, match=message.replace('(', r'\(').replace(')', r'\)')):
    call(*arguments)
  assert not (tmp_path / 'out').exists()


def test_commands_are_printed(call):
  out = call('--sweep', 'optim.lr=1e-4,3e-5', '--config.train.steps=5', '--to', 'print')
  lines = out.split('\n')
  argv = shlex.split(lines[1])
  assert len(lines) == 3 and argv[1:3] == ['-m', 'svdjax.main']
  assert argv[argv.index('--workdir') + 1].endswith('out/optim.lr=3e-5')
  assert argv[-2:] == ['--config.train.steps=5', '--config.optim.lr=3e-5']


def test_an_experiment_may_say_itself_what_to_sweep(call, tmp_path):
  file = tmp_path / 'mine.py'
  file.write_text('from experiments.clip import get_config\n'
                  'def sweep():\n  for lr in (1e-3, 1e-4):\n'
                  '    yield {"optim.lr": lr, "config.optim.warmup": round(1e-2 / lr)}\n')
  out = call('--to', 'print', config=f'{file}:tiny')
  assert '--config.optim.lr=0.001 --config.optim.warmup=10' in out.split('\n')[0]
  assert '--config.optim.lr=0.0001 --config.optim.warmup=100' in out.split('\n')[1]


def test_a_slurm_array_runs_its_own_command(call, tmp_path):
  out = call('--sweep', 'optim.lr=1e-4,3e-5', '--to', 'slurm')
  assert out.startswith('sbatch ') and '--array=0-1' in (tmp_path / 'out/sweep.sbatch').read_text()
  script = sweep.write_array({tmp_path / n: ['echo', f"it's {n}"] for n in 'ab'}, tmp_path)
  for i, name in enumerate('ab'):
    done = subprocess.run(['bash', str(script)], env={'SLURM_ARRAY_TASK_ID': str(i)},
                          capture_output=True, text=True, check=True)
    assert done.stdout == f"it's {name}\n"


def rows(losses):
  return [{'step': i, 'loss': x, 'seconds': 0.5, 'skipped_steps': int(x is None)}
          for i, x in enumerate(losses, 1)]


def test_a_summary_orders_runs_by_their_loss_and_draws_them(call, tmp_path):
  for setting, losses in (('1e-4', [3., 2., 1.5]), ('3e-5', [3., None, 1.]), ('1e-2', [])):
    folder = tmp_path / 'out' / f'optim.lr={setting}'
    folder.mkdir(parents=True)
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows(losses)))
  lines = call('--sweep', 'optim.lr=1e-4,3e-5,1e-2', '--to', 'summary').splitlines()
  assert [line.split()[0] for line in lines[:3]] == ['run', 'optim.lr=3e-5', 'optim.lr=1e-4']
  assert lines[2].split()[1:] == ['3', '1.5', '0', '0.5']
  assert '1 of 3 runs have no metrics yet' in lines[3]
  drawing = ElementTree.parse(tmp_path / 'out' / 'sweep.svg')
  drawn = drawing.findall('.//{*}polyline')
  assert [len(line.get('points').split()) for line in drawn] == [3, 2]


@pytest.mark.parametrize('losses', [[1.], [2., 2.], [-1., 3.], [4., 0.5, 1.]])
def test_a_curve_has_its_name_and_each_loss_at_its_height(losses):
  drawing = ElementTree.fromstring(curves.svg({'<a&b>': list(enumerate(losses))}))
  assert '<a&b>' in [text.text for text in drawing.findall('.//{*}text')]
  points = [tuple(map(float, p.split(','))) for p in
            drawing.find('.//{*}polyline').get('points').split()]
  assert all(curves.LEFT <= x <= curves.LEFT + curves.WIDTH for x, _ in points)
  assert all(20 <= y <= 20 + curves.HEIGHT for _, y in points)
  rank = lambda values: [sorted(set(values)).index(v) for v in values]
  assert rank([-y for _, y in points]) == rank(losses) and len(points) == len(losses)


def test_no_steps_make_an_empty_drawing():
  assert len(ElementTree.fromstring(curves.svg({'a': []}))) == 0


@pytest.mark.slow
def test_runs_are_made_one_after_another_and_a_failure_does_not_end_the_sweep(call, toy, tmp_path):
  with pytest.raises(SystemExit, match='1 of 2 runs failed, the first: .*frames=99'):
    call('--sweep', 'data.frames=1,99', f'--config.data.source={toy}')
  assert (tmp_path / 'out' / 'data.frames=1' / 'checkpoints' / '3').is_dir()
  assert (tmp_path / 'out' / 'sweep.svg').is_file()
