"""Runs an ablation of experiments/ablations over seeds and prints its table with intervals.

  python -m launch.ablate curation[:SCALE] [--prior runs/quickstart] [--runs DIR] [--seeds 3]

Steps whose result is there are left out, so the same command goes on where it ended, and more seeds
add to those that are there. The table is in DIR/table.txt and its numbers in DIR/table.json.
"""

import argparse
import importlib
import json
import os
import pathlib
import sys

import numpy as np
from scipy import stats

from launch import quickstart
from svdjax.core.errors import BadInput, run_command


def load(text):
  """'curation:tiny' -> its config.

  Raises:
    BadInput: there is no such ablation or scale.
  """
  name, _, scale = text.partition(':')
  folder = quickstart.ROOT / 'experiments' / 'ablations'
  known = sorted(p.stem for p in folder.glob('*.py') if p.stem != '__init__')
  if name not in known:
    raise BadInput(f'ablation {name} is unknown: use one of {", ".join(known)}')
  try:
    return importlib.import_module(f'experiments.ablations.{name}').get_config(scale or 'tiny')
  except ValueError as error:
    raise BadInput(f'ablation {text}: {error}') from error


def steps(config, prior, runs, seeds):
  """All steps of an ablation, what is shared first, then seed by seed.

  Args:
    config: of experiments/ablations.
    prior: folder of the stages it starts from.
    runs: folder of its results.
    seeds: how many.

  Returns:
    [quickstart.Step].
  """
  def step(name, seconds, command, **places):
    words = tuple(w.format(runs=runs, prior=prior, **places) for w in command.split())
    return quickstart.Step(name, words, seconds)

  found = [step(*one) for one in config.once]
  for seed in range(seeds):
    for arm in config.arms:
      found += [step(f'{name}_{arm}_{seed}', seconds, command, arm=arm, seed=seed,
                     out=measured(runs, arm, seed)) for name, seconds, command in each(config, arm)]
  return found


def each(config, arm):
  """The steps of an arm for each seed; config.each is for all arms, or {arm: steps}."""
  return config.each[arm] if arm in config.each else config.each


def measured(runs, arm, seed):
  """Where the figures of one arm and seed are."""
  return pathlib.Path(runs, f'measure_{arm}_{seed}.json')


def interval(values):
  """(mean, half the width of its 95 % interval by Student's t); the latter NaN for one value."""
  values = np.asarray(values, np.float64)
  if len(values) < 2:
    return float(values.mean()), float('nan')
  error = values.std(ddof=1) / np.sqrt(len(values))
  return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * error)


def compare(reports):
  """What the arms reach and how far they differ, seed by seed.

  Args:
    reports: {arm: [report of svdjax.evaluate, one a seed]}, the first arm being the baseline.

  Returns:
    [{'figure', 'unit', 'seeds', 'trivial', 'arms': {arm: [mean, half interval]}, 'differences':
    {arm: [mean, half interval]} to the first arm}]; a seed without a figure in any arm is left out
    of that figure, and so are figures that not every report has.
  """
  rows, first = [], next(iter(reports))
  means = {arm: [{f['name']: f['mean'] for f in r['figures']} for r in found]
           for arm, found in reports.items()}
  shared = set.intersection(*(set(m) for found in means.values() for m in found))
  for figure in reports[first][0]['figures']:
    if figure['name'] not in shared:
      continue
    values = {arm: np.array([m[figure['name']] for m in found], np.float64)
              for arm, found in means.items()}
    whole = np.all([np.isfinite(v) for v in values.values()], axis=0)
    if not whole.any():
      continue
    values = {arm: v[whole] for arm, v in values.items()}
    rows.append({
        'figure': figure['name'], 'unit': figure['unit'], 'seeds': int(whole.sum()),
        'trivial': figure['baselines'], 'arms': {arm: interval(v) for arm, v in values.items()},
        'differences': {arm: interval(v - values[first]) for arm, v in values.items()
                        if arm != first}})
  return rows


def table(rows):
  """`compare` as aligned text: means, then differences, each ± half its 95 % interval."""
  cell = lambda pair: f'{pair[0]:.3g}' + ('' if np.isnan(pair[1]) else f' ± {pair[1]:.2g}')
  arms, others = list(rows[0]['arms']), list(rows[0]['differences'])
  head = ['figure', *arms, *(f'{arm} - {arms[0]}' for arm in others), 'trivial', 'seeds']
  lines = [head]
  for row in rows:
    trivial = ', '.join(f'{n} {quickstart.number(v)}' for n, v in row['trivial'].items())
    lines.append([f'{row["figure"]} {row["unit"]}'.strip(), *map(cell, row['arms'].values()),
                  *map(cell, row['differences'].values()), trivial, str(row['seeds'])])
  widths = [max(map(len, column)) for column in zip(*lines)]
  return '\n'.join('  '.join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines)


def write(config, runs, seeds):
  """Writes table.json and table.txt of what was measured; returns the text."""
  reports = {arm: [json.loads(measured(runs, arm, seed).read_text()) for seed in range(seeds)]
             for arm in config.arms}
  rows = compare(reports)
  (runs / 'table.json').write_text(json.dumps(rows, indent=1).replace('NaN', 'null'))
  (runs / 'table.txt').write_text(table(rows) + '\n')
  return table(rows)


def parse(argv):
  """Command line -> namespace, its `config` loaded and its folders absolute.

  Raises:
    BadInput: no such ablation, no seeds, or no earlier stages.
  """
  parser = argparse.ArgumentParser(prog='python -m launch.ablate', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('ablation', metavar='NAME[:SCALE]')
  parser.add_argument('--prior', default='runs/quickstart', help='folder of the stages it needs')
  parser.add_argument('--runs', help='folder for all results; default runs/NAME')
  parser.add_argument('--seeds', type=int, default=3)
  args = parser.parse_args(argv)
  if args.seeds < 1:
    raise BadInput(f'--seeds {args.seeds} is no number of seeds: give at least 1')
  args.config = load(args.ablation)
  args.runs = pathlib.Path(args.runs or f'runs/{args.ablation.replace(":", "_")}').resolve()
  args.prior = pathlib.Path(args.prior).resolve()
  if missing := [n for n in args.config.prior if not (args.prior / n).is_dir()]:
    raise BadInput(f'--prior {args.prior} lacks {", ".join(missing)}: run launch/quickstart.sh '
                   'first, or name a folder that holds them')
  return args


def main(argv=None):
  """Runs what is missing, then prints the table."""
  args = parse(argv)
  os.chdir(quickstart.ROOT)
  (args.runs / 'logs').mkdir(parents=True, exist_ok=True)
  todo = [s for s in steps(args.config, args.prior, args.runs, args.seeds)
          if not (args.runs / 'logs' / f'{s.name}.done').is_file()]
  quickstart.run_all(todo, args.runs)
  print(f'\nmeans over {args.seeds} training seeds ± half their 95 % interval (Student\'s t; '
        f'differences seed by seed)\n{write(args.config, args.runs, args.seeds)}')


if __name__ == '__main__':
  sys.path.insert(0, str(quickstart.ROOT))
  run_command(main)
