"""Ablations: their commands are real ones, their steps are done once, their intervals are right."""

import json
import multiprocessing
import pathlib

from ml_collections import ConfigDict
import numpy as np
import pytest

from data.curation import command as curate
from data.toyworld import reels
from launch import ablate, quickstart
from svdjax.core.errors import BadInput

ABLATIONS = sorted(p.stem for p in (quickstart.ROOT / 'experiments' / 'ablations').glob('*.py')
                   if p.stem != '__init__')


def report(**means):
  return {'figures': [{'name': n, 'unit': '', 'baselines': {'chance': 0.25}, 'mean': m}
                      for n, m in means.items()]}


@pytest.mark.parametrize('name', ABLATIONS)
@pytest.mark.parametrize('scale', ['tiny', 'small'])
def test_every_step_is_a_command_of_this_repository(name, scale, tmp_path):
  config = ablate.load(f'{name}:{scale}')
  todo = ablate.steps(config, tmp_path / 'prior', tmp_path / 'runs', 2)
  each = sum(len(ablate.each(config, arm)) for arm in config.arms)
  assert len({s.name for s in todo}) == len(todo) == len(config.once) + 2 * each
  for step in todo:
    assert step.command[0] == '-m' and not any('{' in word for word in step.command)
    module = quickstart.ROOT / step.command[1].replace('.', '/')
    assert module.with_suffix('.py').is_file() or (module / '__main__.py').is_file()
    if '--config' in step.command:
      file, _, arg = step.command[step.command.index('--config') + 1].partition(':')
      assert (quickstart.ROOT / file).is_file() and arg.startswith(scale)


def test_the_footage_of_curation_is_made_and_curated_in_two_ways(tmp_path):
  todo = ablate.steps(ablate.load('curation'), tmp_path, tmp_path, 1)
  arguments = {s.name: s.command[2:] for s in todo}
  assert reels.parse(arguments['raw']).junk == 0.5
  curated, uncurated = (curate.parse_args(arguments[n]) for n in ('curated', 'uncurated'))
  assert (curated.preset, uncurated.preset) == ('paper', 'none')
  assert curated.annotate == uncurated.annotate and curated.input == uncurated.input
  assert uncurated.whole and not curated.whole


def test_steps_that_are_done_are_left_out_and_seeds_are_added(tmp_path, monkeypatch, capsys):
  """Steps here write a report by themselves; the log of each run shows which were run."""
  runs, prior = tmp_path / 'runs', tmp_path / 'prior'
  prior.mkdir()
  write = tmp_path / 'write.py'
  write.write_text('import json, sys\nfrom pathlib import Path\n'
                   'mean = {"a": 1, "b": 2}[sys.argv[2]] + 0.1 * int(sys.argv[3])\n'
                   f'Path(sys.argv[1]).write_text(json.dumps({report(x=0.0)!r} | {{"figures": '
                   '[{"name": "x", "unit": "dB", "baselines": {}, "mean": mean}]}))\n')
  config = ConfigDict({'prior': (), 'arms': ('a', 'b'), 'once': (),
                       'each': (('measure', 1, f'{write} {{out}} {{arm}} {{seed}}'),)})
  monkeypatch.setattr(ablate, 'load', lambda text: config)
  monkeypatch.setattr(quickstart, 'warm_processes',
                      lambda runs: multiprocessing.get_context('forkserver'))
  run = lambda seeds: ablate.main(['x', '--runs', str(runs), '--prior', str(prior), '--seeds',
                                   str(seeds)])
  run(2)
  done = {p: p.stat().st_mtime_ns for p in (runs / 'logs').glob('*.done')}
  run(3)
  assert len(done) == 4 and len(list((runs / 'logs').glob('*.done'))) == 6
  assert all(p.stat().st_mtime_ns == then for p, then in done.items())
  [row] = json.loads((runs / 'table.json').read_text())
  assert row['seeds'] == 3 and row['differences']['b'] == pytest.approx([1, 0], abs=1e-9)
  assert row['arms']['a'][0] == pytest.approx(1.1)
  assert 'b - a' in capsys.readouterr().out
  assert pathlib.Path(runs, 'table.txt').read_text().startswith('figure')


def test_the_interval_is_students(rng=np.random.default_rng(0)):
  """Of normal samples of three, 95 % of the intervals hold the mean."""
  found = [ablate.interval(rng.normal(3.0, 2.0, 3)) for _ in range(4000)]
  assert np.mean([abs(mean - 3.0) <= half for mean, half in found]) == pytest.approx(0.95, abs=0.01)
  assert np.isnan(ablate.interval([1.0])[1])


def test_seeds_without_a_figure_are_left_out_of_it():
  rows = ablate.compare({'a': [report(x=1.0, y=None), report(x=2.0, y=1.0)],
                         'b': [report(x=2.0, y=3.0), report(x=4.0, y=3.0)]})
  assert [(r['figure'], r['seeds']) for r in rows] == [('x', 2), ('y', 1)]
  assert rows[0]['arms']['a'][0] == 1.5 and rows[0]['differences']['b'][0] == 1.5
  assert rows[1]['differences']['b'][0] == 2.0
  assert '1.5 ± 6.4' in ablate.table(rows)  # 0.5 standard error times 12.7


def test_figures_that_not_every_report_has_are_left_out():
  rows = ablate.compare({'a': [report(y=1.0, x=1.0), report(x=2.0)], 'b': [report(x=2.0, y=3.0)] * 2})
  assert [(r['figure'], r['arms']['a'][0]) for r in rows] == [('x', 1.5)]


@pytest.mark.parametrize('options, message', [
    (['nothing'], 'unknown'), (['curation:full'], 'paper itself'), (['curation:huge'], 'huge'),
    (['curation', '--seeds', '0'], 'seeds'), (['curation', '--prior', 'nowhere'], 'lacks toy')])
def test_bad_input_is_refused_in_a_sentence(options, message):
  with pytest.raises(BadInput, match=message):
    ablate.main(options)
