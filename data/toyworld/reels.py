"""The command that makes raw footage: `python -m data.toyworld.reels --output DIR`.

Each reel is a video file of many shots, cut and faded together: toy scenes that move, photographs
that do not, and pages of text. What is true of it lies beside it as JSON. Curation takes it apart.
"""

import argparse
import functools
import json
import multiprocessing
import pathlib

import numpy as np
import tqdm

from data.toyworld import film
from data.toyworld import reel
from svdjax.core.errors import BadInput, run_command

JOINS = ('cut', 'cut', 'cut', 'fade', 'black')


def script(seed, index, shots, junk):
  """The shots of one reel.

  Args:
    seed: integer of all reels.
    index: number of the reel.
    shots: how many.
    junk: share of stills and text.

  Returns:
    [reel.Shot], a pure function of the arguments.
  """
  rng = np.random.default_rng((seed, index))
  found = []
  for i in range(shots):
    kind = str(rng.choice(['still', 'text'])) if rng.random() < junk else 'toy'
    join = str(rng.choice(JOINS)) if i else 'cut'
    found.append(reel.Shot(kind, float(rng.uniform(2.5, 4.0)), int(rng.integers(2 ** 31)), 0.03,
                           join, 0.0 if join == 'cut' else float(rng.uniform(0.5, 1.0))))
  return found


def make(args, index):
  """Writes reel `index`: NUMBER.mp4 and NUMBER.json with its shots, cuts and fades."""
  shots = script(args.seed, index, args.shots, args.junk)
  made = reel.make(shots, args.height, args.width, args.fps)
  path = pathlib.Path(args.output, f'{index:05d}.mp4')
  film.write(path.with_suffix('.tmp'), made.frames, args.fps)
  truth = {'fps': args.fps, 'shots': [vars(s) for s in shots], 'cuts': made.cuts,
           'fades': made.fades, 'shot_of': made.shot_of.tolist()}
  path.with_suffix('.json').write_text(json.dumps(truth))
  path.with_suffix('.tmp').replace(path)


def parse(argv):
  """Reads and checks the command line.

  Raises:
    BadInput: a number that no reel can have.
  """
  parser = argparse.ArgumentParser(prog='python -m data.toyworld.reels', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--output', required=True, help='folder of the videos')
  parser.add_argument('--reels', type=int, default=20)
  parser.add_argument('--shots', type=int, default=10, help='in each')
  parser.add_argument('--junk', type=float, default=0.4, help='share of stills and text')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--height', type=int, default=96)
  parser.add_argument('--width', type=int, default=128)
  parser.add_argument('--fps', type=int, default=12)
  parser.add_argument('--workers', type=int, default=2)
  args = parser.parse_args(argv)
  least = {'reels': 1, 'shots': 1, 'seed': 0, 'height': 32, 'width': 32, 'fps': 4, 'workers': 1}
  for name, low in least.items():
    if getattr(args, name) < low:
      raise BadInput(f'--{name} is {getattr(args, name)}: give at least {low}')
  if args.height % 2 or args.width % 2 or not 0 <= args.junk <= 1:
    raise BadInput('--height and --width are even numbers, --junk is a share in [0, 1]: change them')
  return args


def main(argv=None):
  """Runs the command line; reels that are there stay."""
  args = parse(argv)
  output = pathlib.Path(args.output)
  output.mkdir(parents=True, exist_ok=True)
  todo = [i for i in range(args.reels) if not (output / f'{i:05d}.mp4').exists()]
  with multiprocessing.get_context('spawn').Pool(args.workers) as pool:
    for _ in tqdm.tqdm(pool.imap(functools.partial(make, args), todo), total=len(todo),
                       desc='reels', unit='reel'):
      pass
  print(f'{args.reels} reels in {output}')


if __name__ == '__main__':
  run_command(main)
