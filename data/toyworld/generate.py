"""The command that makes a data folder: `python -m data.toyworld --output DIR`."""

import argparse
import functools
import json
import multiprocessing
import pathlib
import shutil

import tqdm

from data.toyworld import clip
from data.toyworld import turntable
from data.toyworld import world
from svdjax.core import places
from svdjax.core.errors import BadInput
from svdjax.inputs import export
from svdjax.inputs import record


def parse_kinds(text):
  """'object:3,camera' -> {'object': 3.0, 'camera': 1.0}.

  Raises:
    BadInput: an unknown kind, or a weight that is no positive number.
  """
  kinds = {}
  for part in text.split(','):
    name, _, weight = part.partition(':')
    try:
      kinds[name] = float(weight or 1)
    except ValueError:
      kinds[name] = 0.0
    if name not in world.KINDS or not 0 < kinds[name] < float('inf'):
      raise BadInput(f'--kinds has "{part}": write kinds among {", ".join(world.KINDS)}, each '
                     'with an optional positive weight, like object:2,camera')
  return {name: kinds[name] for name in world.KINDS if name in kinds}


def parse(argv=None):
  """Reads and checks the command line.

  Raises:
    BadInput: a size or number that no clip can have.
  """
  parser = argparse.ArgumentParser(prog='python -m data.toyworld', description=__doc__)
  parser.add_argument('--output', required=True, help='data folder to make')
  parser.add_argument('--clips', type=int, default=1500, help='clips in the train split')
  parser.add_argument('--test-clips', type=int, default=200,
                      help='clips in the test split: held-out combinations only')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--height', type=int, default=96, help='pixels, even')
  parser.add_argument('--width', type=int, default=128, help='pixels, even')
  parser.add_argument('--frames', type=int, default=20)
  parser.add_argument('--fps', type=int, default=8, help='frames per second')
  parser.add_argument('--kinds', default=','.join(world.KINDS), help='kind[:weight],...')
  parser.add_argument('--num-shards', type=int, default=4, help='files per split')
  parser.add_argument('--keep-videos', type=int, default=16,
                      help='first train clips also kept as mp4, txt, json in videos/; -1: all')
  parser.add_argument('--workers', type=int, default=2, help='processes')
  args = parser.parse_args(argv)
  least = {'clips': 1, 'test_clips': 0, 'seed': 0, 'height': 16, 'width': 16, 'frames': 1,
           'fps': 1, 'num_shards': 1, 'keep_videos': -1, 'workers': 1}
  for name, low in least.items():
    if getattr(args, name) < low:
      raise BadInput(f'--{name.replace("_", "-")} is {getattr(args, name)}: give at least {low}')
  if args.height % 2 or args.width % 2:
    raise BadInput(f'the clips would be {args.width}x{args.height} pixels: H.264 video needs an '
                   'even --width and --height')
  args.kinds = parse_kinds(args.kinds)
  return args


def _exists(directory, arguments):
  """Whether the folder already holds exactly this data set.

  Raises:
    BadInput: it holds something else.
  """
  described = directory / 'world.json'
  if not described.exists():
    if directory.exists() and (directory.is_file() or any(directory.iterdir())):
      raise BadInput(f'--output {directory} already holds something that is no toy world: choose '
                     'another folder')
    return False
  made = json.loads(described.read_text())['arguments']
  differing = [name for name in arguments if made.get(name) != arguments[name]]
  if differing:
    was = ', '.join(f'{name} {made.get(name)} instead of {arguments[name]}' for name in differing)
    raise BadInput(f'--output {directory} already holds a toy world made with {was}: choose '
                   'another folder or delete this one')
  return True


def _keep(directory, made):
  """Writes one clip as an mp4 file with its merged caption and its truth beside it."""
  directory.mkdir(parents=True, exist_ok=True)
  path = directory / made['clip_id']
  path.with_suffix('.mp4').write_bytes(made['video'])
  path.with_suffix('.txt').write_text(made['captions'][2] + '\n')
  path.with_suffix('.json').write_text(made['truth'] + '\n')


def _records(pool, args, split, videos):
  """Yields the records of a split in order, keeping the first few as files."""
  clips = args.clips if split == 'train' else args.test_clips
  keep = clips if args.keep_videos < 0 else args.keep_videos
  work = functools.partial(clip.make, vars(args), split)
  made = pool.imap(work, range(clips), chunksize=8)
  for i, one in enumerate(tqdm.tqdm(made, total=clips, desc=split, unit='clip')):
    if i < keep and split == 'train':
      _keep(videos, one)
    yield one


def generate(args):
  """Makes the data folder that `args` (of `parse`) describe; nothing if it is already there.

  The folder appears only once complete.

  Raises:
    BadInput: the folder holds another data set, or cannot be written.
  """
  directory = pathlib.Path(args.output).resolve()
  arguments = {k: v for k, v in vars(args).items() if k not in ('output', 'workers')}
  if _exists(directory, arguments):
    print(f'{directory} already holds this toy world: nothing to do')
    return
  with places.unmade(directory.parent):
    export.check_writable(directory / 'world.json' if directory.is_dir() else directory)
  unfinished = directory.with_name(f'.{directory.name}.unfinished')
  shutil.rmtree(unfinished, ignore_errors=True)
  splits = world.SPLITS if args.test_clips else world.SPLITS[:1]
  with multiprocessing.get_context('spawn').Pool(args.workers) as pool:
    lengths = {split: record.write_split(unfinished, split, _records(pool, args, split,
                                                                     unfinished / 'videos'),
                                         args.num_shards) for split in splits}
  record.write_metadata(unfinished, lengths, world.describe() | {
      'models': turntable.models(), 'arguments': arguments})
  unfinished.rename(directory)
  print(f'{directory}: ' + ', '.join(f'{sum(n)} {split} clips' for split, n in lengths.items()))


def main(argv=None):
  """Runs the command line.

  Raises:
    BadInput: see `parse` and `generate`.
  """
  generate(parse(argv))
