"""Raw videos to filtered, captioned training shards (SVD, section 3.1 and appendix C).

  python -m data.curate --input DIR|PATTERN|TABLE --output DIR [--preset paper|none]

Finds shots, cuts them at keyframes without re-encoding, measures motion, text and more, and keeps
what the rules keep. The same command again goes on where it ended; other rules on the same output
need no video, nor --input. Beside the shards lie report/index.html and tables/.
"""

import argparse
import collections
import dataclasses
import pathlib

import numpy as np

from data.curation import annotation
from data.curation import annotators
from data.curation import engine
from data.curation import failures
from data.curation import ledger
from data.curation import manifest
from data.curation import report
from data.curation import rules as rules_lib
from data.curation import run
from data.curation import tables
from data.curation.settings import Settings
from svdjax.core.errors import BadInput
from svdjax.inputs import export


def parse_args(argv):
  """Command line -> checked namespace.

  Raises:
    BadInput: a number is out of range.
  """
  parser = argparse.ArgumentParser(prog='python -m data.curate', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  add = parser.add_argument
  add('--input', help='folder of videos, quoted pattern, or .csv, .jsonl, .parquet table with a '
      'column "file" (and "caption", "license")')
  add('--output', required=True, help='folder for shards, report and everything between')
  add('--preset', default='paper', choices=sorted(rules_lib.PRESETS), help='which rules filter')
  add('--drop', action='append', default=[], metavar='RULE',
      help='one more rule: SCORE<NUMBER, SCORE>NUMBER, or with %% a share of all clips; scores: '
      + ', '.join(rules_lib.SCORES))
  add('--annotate', action='append', default=[], metavar='NAME,key=value,…',
      help='ask a model about each clip, in the order given: '
      + ', '.join(annotators.BUILT_IN) + ' or MODULE:CLASS; see data/curation/annotators.py')
  add('--min-seconds', type=float, default=2.0, help='shortest clip')
  add('--max-seconds', type=float, default=20.0, help='longest clip')
  add('--cascade', default='0:10,8:13,2:16', help='cut detectors: frames a second (0: all) and '
      'threshold of each')
  add('--reencode', action='store_true', help='re-encode what packets alone cannot be cut from')
  add('--large', action='store_true', help='take frames of more than 9 megapixels too')
  add('--test-fraction', type=float, default=0.1, help='share of sources for "test"')
  add('--num-shards', type=int, help='files a split; default: of about 256 MB')
  add('--workers', type=int, default=2, help='processes; 0: work in this one, where a video that '
      'crashes its decoder ends the run')
  add('--engine', default='local', choices=('local', 'beam'), help='beam: Apache Beam (extra '
      '"curate") runs the stages; options that are not listed here are Beam\'s, such as '
      '--direct_num_workers=4 --direct_running_mode=multi_processing or --runner=DataflowRunner')
  args, args.beam = parser.parse_known_args(argv)
  if args.beam and args.engine == 'local':
    raise BadInput(f'option {args.beam[0]} is unknown: see --help (Beam\'s own options need '
                   '--engine beam)')
  for name, fine, range_ in (
      ('test_fraction', 0 <= args.test_fraction < 1, 'a number in [0, 1)'),
      ('min_seconds', args.min_seconds > 0, 'a number above 0'),
      ('max_seconds', args.max_seconds >= args.min_seconds, 'at least --min-seconds'),
      ('num_shards', args.num_shards is None or args.num_shards > 0, 'at least 1'),
      ('workers', args.workers >= 0, 'at least 0')):
    if not fine:
      raise BadInput(f'--{name.replace("_", "-")} {getattr(args, name)} is out of range: give '
                     f'{range_}')
  return args


def parse_cascade(text):
  """'0:10,8:13' -> ((0.0, 10.0), (8.0, 13.0)).

  Raises:
    BadInput: it is not of this form, or does not begin with all frames.
  """
  try:
    levels = tuple(tuple(map(float, level.split(':'))) for level in text.split(','))
  except ValueError:
    levels = ()
  if not levels or any(len(l) != 2 or l[0] < 0 or l[1] <= 0 for l in levels) or levels[0][0]:
    raise BadInput(f'--cascade "{text}" is not understood: write RATE:THRESHOLD,… beginning with '
                   'rate 0, like 0:10,8:13,2:16')
  return levels


def find_sources(args, places):
  """The sources that --input names, or without it those of the run before.

  Raises:
    BadInput: there are none.
  """
  if args.input:
    sources = manifest.find(args.input, args.output)
    ledger.write(places.manifest, [dataclasses.asdict(s) for s in sources])
    return sources
  rows = ledger.read(places.manifest)
  if not rows:
    raise BadInput(f'--input is missing, and output {args.output} holds no earlier run: name the '
                   'videos')
  return [manifest.Source(**row) for row in rows]


def make_runner(args):
  """The function that turns a stage function into something that maps it, see data.curation.engine.

  Raises:
    BadInput: Beam is asked for and not installed.
  """
  if args.engine == 'local':
    return lambda job: engine.make(job, args.workers)
  try:
    from data.curation import beam  # an extra
  except ImportError as error:
    raise BadInput('--engine beam needs Apache Beam: pip install "svdjax[curate]"') from error
  staging = pathlib.Path(args.output, 'ledger', 'staging')
  return lambda job: beam.Pipeline(job, staging, args.beam)


def main(argv=None):
  """Runs the command line, see the module's docstring."""
  args = parse_args(argv)
  rules = [rules_lib.parse(text) for text in (*rules_lib.PRESETS[args.preset], *args.drop)]
  specs = [annotators.parse(text) for text in args.annotate]
  for spec in specs:
    annotators.make(spec)
  settings = Settings(parse_cascade(args.cascade), min_seconds=args.min_seconds,
                      max_seconds=args.max_seconds, reencode=args.reencode, large=args.large)
  places = ledger.Places(args.output, settings.digest())
  export.check_writable(places.manifest)
  sources = find_sources(args, places)
  try:
    _work(args, places, settings, sources, rules, specs)
  except OSError as error:
    raise BadInput(f'output {args.output} cannot be written ({error}): make room there and run the '
                   'command again, it goes on') from error


def _work(args, places, settings, sources, rules, specs):
  """The whole of a run: sources to clips, answers, decisions, shards and report."""
  runner = make_runner(args)
  collected = run.collect(places, settings, sources, runner)
  clips, failed = annotation.annotate(places, collected, specs, runner)
  collected = dataclasses.replace(collected, failures=collected.failures + failed)
  options = {'test_fraction': args.test_fraction, 'num_shards': args.num_shards}
  verdicts, kept, lengths = run.write_shards(places, collected, clips, rules, options)
  tables.write(places.output / 'tables', collected, clips, rules_lib.bits(verdicts, len(clips)))
  page = report.write(places, collected, clips, verdicts, kept)
  _tell(collected, clips, verdicts, kept, lengths)
  print(f'shards in {places.output}, report in {page}')


def _tell(collected, clips, verdicts, kept, lengths):
  """Prints what came in, what is left out and why, and what is kept."""
  hours = lambda some: sum(c['t_end'] - c['t_start'] for c in some) / 3600
  for code, count in collections.Counter(f['code'] for f in collected.failures).most_common():
    print(f'left out {count} x {code}: {failures.CODES[code][1]}')
  for verdict in verdicts:
    print(f'{verdict.rule.text:22s} keeps {np.count_nonzero(verdict.keep)} of {verdict.scored} '
          'clips that have this score')
  seconds = sum(row['seconds'] for row in collected.rows.values())
  chosen = [c for c, k in zip(clips, kept) if k]
  print(f'{collected.count} sources of {seconds / 3600:.3f} hours: {len(clips)} clips of '
        f'{hours(clips):.3f} hours, {len(chosen)} kept ({100 * len(chosen) / len(clips):.0f} %) of '
        f'{hours(chosen):.3f} hours: '
        + ', '.join(f'{split} {sum(n)}' for split, n in lengths.items()))
  if sum(map(sum, lengths.values())) > len(chosen):
    print('too few sources to hold any back: every clip is in train and in test, so test figures '
          'do not show generalisation')
