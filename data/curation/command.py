"""Raw videos to filtered, captioned training shards (SVD, section 3.1 and appendix C).

  python -m data.curate --input DIR|PATTERN|TABLE --output DIR [--preset paper|none]

Finds shots, cuts them at keyframes without re-encoding, measures motion, text and more, and keeps
what the rules keep. The same command again goes on where it ended. Other rules on the same output
need no video: without --input, clips and annotators are those of the run before. Beside the shards
lie report/index.html and tables/.
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
from data.curation import report
from data.curation import request as request_lib
from data.curation import rules as rules_lib
from data.curation import run
from data.curation import shards
from data.curation import tables
from svdjax.core.errors import BadInput, Stopped
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
  add('--annotate', action='append', metavar='NAME,key=value,…',
      help='ask a model about each clip, in the order given: '
      + ', '.join(annotators.BUILT_IN) + ' or MODULE:CLASS; see data/curation/annotators.py')
  add('--min-seconds', type=float, help='shortest clip, default 2')
  add('--max-seconds', type=float, help='longest clip, default 20')
  add('--cascade', help='cut detectors: frames a second (0: all) and threshold of each, default '
      '0:10,8:13,2:16')
  for name, text in (('reencode', 're-encode what packets alone cannot be cut from'),
                     ('large', 'take frames of more than 9 megapixels too'),
                     ('whole', 'look for no shots: clips run across cuts, fades and blank frames')):
    add(f'--{name}', action='store_true', default=None, help=text)
  add('--test-fraction', type=float, default=0.1, help='share of sources for "test"')
  add('--max-failed', type=float, default=1.0, help='end with 1 if a larger share of sources is '
      'left out for good; the shards are written all the same')
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
      ('max_failed', 0 <= args.max_failed <= 1, 'a number in [0, 1]'),
      ('num_shards', args.num_shards is None or args.num_shards > 0, 'at least 1'),
      ('workers', args.workers >= 0, 'at least 0')):
    if not fine:
      raise BadInput(f'--{name.replace("_", "-")} {getattr(args, name)} is out of range: give '
                     f'{range_}')
  return args


def refuse_strangers(output, manifest):
  """Leaves shards alone that curation did not write.

  Raises:
    BadInput: there are some.
  """
  if not manifest.exists() and shards.files(output):
    raise BadInput(f'output {output} holds shards of another origin: choose an empty folder')


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
  rules = rules_lib.parse_all((*rules_lib.PRESETS[args.preset], *args.drop))
  file = ledger.Places(args.output, '').manifest
  refuse_strangers(args.output, file)
  export.check_writable(file)
  request = request_lib.make(args, request_lib.read(file))
  specs = [annotators.parse(text) for text in request.annotate]
  for spec in specs:
    annotators.make(spec)
  places = ledger.Places(args.output, request.settings.digest())
  try:
    request_lib.write(file, request)
    _work(args, places, request, rules, specs)
  except OSError as error:
    raise BadInput(f'output {args.output} cannot be written ({error}): make room there and run the '
                   'command again, it goes on') from error


def _work(args, places, request, rules, specs):
  """The whole of a run: sources to clips, answers, decisions, shards and report."""
  runner = make_runner(args)
  collected = run.collect(places, request.settings, request.sources, runner, rules)
  clips, failed = annotation.annotate(places, collected, specs, runner)
  collected = dataclasses.replace(collected, failures=collected.failures + failed)
  options = {'test_fraction': args.test_fraction, 'num_shards': args.num_shards}
  verdicts, kept, lengths = run.write_shards(places, collected, clips, rules, options)
  tables.write(places.output / 'tables', collected, clips, rules_lib.bits(verdicts, len(clips)))
  page = report.write(places, collected, clips, verdicts, kept)
  _tell(collected, clips, verdicts, kept, lengths)
  print(f'shards in {places.output}, report in {page}')
  lost = run.lost(collected)
  if len(lost) > args.max_failed * collected.count:
    raise Stopped(f'{len(lost)} of {collected.count} sources are left out for good, more than '
                  f'--max-failed {args.max_failed:g}: see tables/failures.parquet')


def _tell(collected, clips, verdicts, kept, lengths):
  """Prints what came in, what is left out and why, and what is kept."""
  hours = lambda some: sum(c['t_end'] - c['t_start'] for c in some) / 3600
  for code, count in collections.Counter(f['code'] for f in collected.failures).most_common():
    print(f'left out {count} x {code}: {failures.CODES[code][1]}')
  for verdict in verdicts:
    without = len(clips) - verdict.scored
    print(f'{verdict.rule.text:22s} keeps {np.count_nonzero(verdict.keep)} of {len(clips)} clips'
          + (f', {without} of them without this score' if without else ''))
  seconds = sum(row['seconds'] for row in collected.rows.values())
  chosen = [c for c, k in zip(clips, kept) if k]
  print(f'{collected.count} sources of {seconds / 3600:.3f} hours: {len(clips)} clips of '
        f'{hours(clips):.3f} hours, {len(chosen)} kept ({100 * len(chosen) / len(clips):.0f} %) of '
        f'{hours(chosen):.3f} hours: '
        + ', '.join(f'{split} {sum(n)}' for split, n in lengths.items()))
  if sum(map(sum, lengths.values())) > len(chosen):
    print('too few sources to hold any back: every clip is in train and in test, so test figures '
          'do not show generalisation')
