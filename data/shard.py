"""A folder of videos to training shards.

  python -m data.shard --input DIR --output DIR [--captions FILE.csv]

Long videos are cut at keyframes without re-encoding. Captions come from a CSV with the columns
`file,caption` (path relative to the input folder) or from a .txt file beside the video. Files that
cannot be used are named with their reason in OUTPUT/skipped.jsonl; the rest goes on. The same
command again finds its finished work and stops.
"""

import argparse
import json
import math
import pathlib
import shutil

from data import footage
from data import ingest
from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import export
from svdjax.inputs import record

MIN_CLIPS_TO_SPLIT = 10
_MANIFEST = 'shard_manifest.json'


def split_of(content, test_fraction):
  """The split of a source file, by its content alone, so that it never changes sides.

  Args:
    content: hex digest of the file.
    test_fraction: share of sources that go to "test".
  """
  return 'test' if int(content[:8], 16) < test_fraction * 2 ** 32 else 'train'


def assign_splits(clips, test_fraction):
  """{split: clips}; few clips, or clips that all fall on one side, go to both splits."""
  splits = {'train': [], 'test': []}
  for clip in clips:
    splits[split_of(clip.content, test_fraction)].append(clip)
  if len(clips) < MIN_CLIPS_TO_SPLIT or not all(splits.values()):
    return {name: list(clips) for name in splits}
  return splits


def make_plan(args, uris):
  """What the result depends on: options, and size and time of each input file (JSON values)."""
  sidecars = [footage.sidecar_path(args.input, uri) for uri in uris]
  paths = [pathlib.Path(args.input, uri) for uri in uris] + [p for p in sidecars if p.is_file()]
  if args.captions and pathlib.Path(args.captions).is_file():
    paths.append(pathlib.Path(args.captions))
  options = {name: getattr(args, name)
             for name in ('captions', 'test_fraction', 'max_seconds', 'num_shards')}
  stats = {str(path): path.stat() for path in paths}
  return {'options': options,
          'inputs': {path: [s.st_size, s.st_mtime_ns] for path, s in stats.items()}}


def _shards(output):
  return {p.name: p.stat().st_size
          for p in pathlib.Path(output).glob(f'{record.NAME}-*.array_record-*')}


def is_finished(output, plan):
  """Whether `output` already holds the finished result of `plan`.

  Raises:
    BadInput: it holds shards that this command did not write.
  """
  path = pathlib.Path(output, _MANIFEST)
  if not path.is_file():
    if _shards(output):
      raise BadInput(f'output {output} holds shards of another origin: choose an empty folder')
    return False
  try:
    manifest = json.loads(path.read_text(encoding='utf-8'))
  except ValueError:
    return False
  return manifest == plan | {'shards': _shards(output)}


def _records(clips, captions):
  """The record of each clip; as a video's caption is known, its image caption is "" here."""
  for clip in clips:
    caption = captions[clip.fields['source_uri']]
    yield clip.fields | {'video': clip.path.read_bytes(), 'captions': ['', caption, caption]}


def write_shards(output, clips, captions, test_fraction, num_shards):
  """Writes both splits and TFDS's metadata, in place of older shards.

  Returns:
    {split: number of clips}.
  """
  for name in _shards(output):
    pathlib.Path(output, name).unlink()
  splits = assign_splits(clips, test_fraction)
  lengths = {}
  for name, members in splits.items():
    shards = min(num_shards, len(members))
    lengths[name] = record.write_split(output, name, _records(members, captions), shards)
  record.write_metadata(output, lengths)
  return {name: len(members) for name, members in splits.items()}


def drop_duplicates(results):
  """Moves sources whose bytes were seen before from clips to skipped."""
  first, unique = {}, []
  for result in results:
    seen = first.setdefault(result.content or result.uri, result.uri)
    if seen != result.uri:
      reason = ('duplicate', f'it has the same bytes as {seen}')
      result = ingest.Ingested(result.uri, result.content, 0.0, [], [reason])
    unique.append(result)
  return unique


def _report_skipped(output, results):
  lines = [{'file': result.uri, 'reason': reason, 'message': message}
           for result in results for reason, message in result.skipped]
  text = ''.join(json.dumps(line, ensure_ascii=False) + '\n' for line in lines)
  pathlib.Path(output, 'skipped.jsonl').write_text(text, encoding='utf-8')
  for line in lines:
    print(f'skipped {line["file"]}: {line["reason"]} ({line["message"]})')
  return lines


def parse_args(argv):
  """Command line -> checked namespace.

  Raises:
    BadInput: a number is out of range.
  """
  parser = argparse.ArgumentParser(prog='python -m data.shard', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--input', required=True, help='folder of videos, searched with subfolders')
  parser.add_argument('--output', required=True, help='folder for the shards')
  parser.add_argument('--captions', help='CSV with the columns file,caption')
  parser.add_argument('--test-fraction', type=float, default=0.1, help='share of files for "test"')
  parser.add_argument('--max-seconds', type=float, default=20.0, help='longest clip')
  parser.add_argument('--num-shards', type=int, default=1, help='files a split')
  parser.add_argument('--workers', type=int, default=2, help='processes; 0: work in this one')
  args = parser.parse_args(argv)
  for name, fine, range_ in (('test-fraction', 0 <= args.test_fraction < 1, 'in [0, 1)'),
                             ('max-seconds', 0 < args.max_seconds < math.inf, 'above 0'),
                             ('num-shards', args.num_shards >= 1, 'at least 1'),
                             ('workers', args.workers >= 0, 'at least 0')):
    if not fine:
      raise BadInput(f'--{name} {getattr(args, name.replace("-", "_"))} is out of range: give a '
                     f'number {range_}')
  return args


def main(argv=None):
  """Runs the command line, see the module's docstring."""
  args = parse_args(argv)
  output = pathlib.Path(args.output)
  uris = footage.find_videos(args.input, output)
  plan = make_plan(args, uris)
  if is_finished(output, plan):
    print(f'{output} already holds these videos: nothing to do')
    return
  captions, unknown = footage.read_captions(args.input, uris, args.captions)
  export.check_writable(output / _MANIFEST)
  if unknown:
    print(f'captions name {len(unknown)} files that are not in {args.input}, such as {unknown[0]}')
  (output / _MANIFEST).write_text(json.dumps(plan), encoding='utf-8')  # ours, not yet finished
  staging = output / '.staging'
  shutil.rmtree(staging, ignore_errors=True)
  staging.mkdir()
  try:
    results = ingest.ingest_all(args.input, uris, staging, args.max_seconds, args.workers)
    _finish(args, plan, drop_duplicates(results), captions)
  finally:
    shutil.rmtree(staging, ignore_errors=True)


def _finish(args, plan, results, captions):
  """Writes shards, manifest and the report of what was ingested."""
  skipped = _report_skipped(args.output, results)
  clips = [clip for result in results for clip in result.clips]
  if not clips:
    raise BadInput(f'none of the {len(results)} videos in {args.input} can be used, the first: '
                   f'{skipped[0]["message"]}')
  counts = write_shards(args.output, clips, captions, args.test_fraction, args.num_shards)
  finished = plan | {'shards': _shards(args.output)}
  pathlib.Path(args.output, _MANIFEST).write_text(json.dumps(finished), encoding='utf-8')
  seconds = sum(clip.fields['t_end'] - clip.fields['t_start'] for clip in clips)
  used = sum(bool(result.clips) for result in results)
  print(f'{len(clips)} clips, {seconds:.1f} s, from {used} of {len(results)} videos: train '
        f'{counts["train"]}, test {counts["test"]}, in {args.output}')
  lost = sum(result.seconds for result in results) - seconds
  if lost > 0.05 * seconds:
    print(f'{lost:.1f} s left out: stretches over --max-seconds without a keyframe to cut at')
  if sum(counts.values()) > len(clips):
    print('too few to hold any back: every clip is in train and in test, so test figures do not '
          'show generalisation')


if __name__ == '__main__':
  run_command(main)
