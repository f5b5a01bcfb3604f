"""How well curation finds shots and motion, and whether clips leak: against footage of known truth.

  python tests/benchmarks/shots.py [--reels 8] [--seed 0] [--only joints|leaks|motion]

Reels of pans, stills, text and toy scenes, joined at random by cuts, cross-fades and fades through
black, are rendered, encoded and curated. PySceneDetect's detectors see the same files.
"""

import argparse
import collections
import pathlib
import tempfile

import numpy as np

from data.curation import analysis, flow, ledger, probe
from data.curation import source as sources
from data.curation.manifest import Source
from data.curation.settings import Settings
from data.toyworld import film, reel
from svdjax.inputs import video

FPS, HEIGHT, WIDTH = 24, 108, 192
SPEEDS = (0.004, 0.02, 0.06, 0.12, 0.2)  # frame widths a second; 0.2 is 10 % in half a second
SUFFIX = {'mp4': '.mp4', 'webm': '.webm', 'matroska': '.mkv', 'mpegts': '.ts'}


def make_reel(seed, index, joints=9):
  """A random reel with as many cuts as cross-fades and fades through black."""
  rng = np.random.default_rng((seed, index))
  joins = ['cut', *rng.permutation(['cut', 'fade', 'black'] * (joints // 3))]
  return reel.make([reel.Shot(str(rng.choice(reel.KINDS)), 3, 1000 * index + i,
                              float(rng.uniform(0.02, 0.2)), str(join),
                              float(rng.uniform(0.5, 1.2)))
                    for i, join in enumerate(joins)], HEIGHT, WIDTH, FPS), joins[1:]


def curated_edges(path):
  """[(first, last)] frame numbers of each cut and each closed stretch."""
  facts, times = probe.probe(path)
  found = analysis.analyse(path, facts, times, Settings())
  number = lambda ticks: int(np.searchsorted(times.pts, ticks))
  return sorted([(number(t), number(t)) for t in found.cuts]
                + [(number(a), number(b) - 1) for a, b in found.closed])


def scenedetect_edges(detector):
  """A function like `curated_edges` of a detector of PySceneDetect with its own defaults."""

  def edges(path):
    import scenedetect
    cuts = [s.get_frames() for s, _ in scenedetect.detect(str(path), detector())[1:]]
    return [(n, n) for n in cuts]

  return edges


def score(truth, joins, edges, counts):
  """Adds what was found in one reel to counts {name: [hits, of how many]}."""
  fades = iter(truth.fades)
  cuts = iter(truth.cuts)
  real = []
  for join in joins:
    a, b = (next(cuts),) * 2 if join == 'cut' else next(fades)
    real.append((a, b))
    hit = (a, a) in edges if join == 'cut' else any(x <= b and y >= a for x, y in edges)
    counts[f'recall, {join}'] += np.array([hit, 1])
  true = [any(x <= b + 1 and y >= a - 1 for a, b in real) for x, y in edges]
  counts['precision'] += np.array([sum(true), len(true)])
  closed = np.zeros(len(truth.frames), bool)
  for x, y in edges:
    closed[x:y + 1] = True
  faded = truth.shot_of < 0
  counts['faded frames kept out'] += np.array([closed[faded].sum(), faded.sum()])
  plain = ~faded
  plain[truth.cuts] = False  # a cut's own frame counts as an edge, not as a loss
  counts['good frames lost'] += np.array([closed[plain].sum(), plain.sum()])


def joints(folder, seed, reels):
  """Prints precision and recall of ours and of PySceneDetect."""
  ways = {'svdjax cascade and fades': curated_edges}
  try:
    from scenedetect import detectors
    ways |= {f'PySceneDetect {d.__name__}': scenedetect_edges(d)
             for d in (detectors.ContentDetector, detectors.AdaptiveDetector)}
  except ImportError:
    print('PySceneDetect is not installed: pip install "svdjax[test]"')
  tables = {name: collections.defaultdict(lambda: np.zeros(2, int)) for name in ways}
  for i in range(reels):
    truth, joins = make_reel(seed, i)
    path = folder / f'{i}.mp4'
    film.write(path, truth.frames, FPS)
    for name, edges in ways.items():
      score(truth, joins, edges(path), tables[name])
  print(f'joints of {reels} reels, {9 * reels} in all; cuts count where found to the frame')
  for name, counts in tables.items():
    print(f'  {name}: ' + ', '.join(f'{what} {100 * a / max(1, b):.1f} % ({a}/{b})'
                                    for what, (a, b) in sorted(counts.items())))


def leaks(folder, seed):
  """Prints for each sort of file how many frames of clips are not of the clip's own shot."""
  truth, _ = make_reel(seed, 0)
  steps = np.where(np.arange(len(truth.frames)) % 3, 25, 70)
  varied = np.concatenate([[0], np.cumsum(steps)[:-1]])
  even = np.arange(len(truth.frames)) * 1000 / FPS
  cases = {sort: (sort, even, {}) for sort in film.SORTS} | {'variable rate': ('h264', varied, {})}
  cases['one keyframe, encoded anew'] = 'h264', even, {'g': '9999', 'sc_threshold': '0'}
  print(f'clips of one reel of {len(truth.frames)} frames in {len(truth.cuts) + len(truth.fades)} '
        'joints')
  for name, (sort, times, options) in cases.items():
    path = folder / (name.replace(' ', '_') + SUFFIX[film.SORTS[sort][1]])
    film.write(path, truth.frames, FPS, sort, pts=varied if times is varied else None,
               options=options)
    clips, frames, foreign = foreign_frames(path, folder / 'out', truth, times, bool(options))
    print(f'  {name:28s} {clips:3d} clips, {frames:5d} frames, {foreign} of a neighbouring shot')


def foreign_frames(path, output, truth, times, reencode):
  """(clips, frames, frames of another shot than most of their clip, or of a fade)."""
  settings = Settings(min_seconds=0.75, reencode=reencode)
  places = ledger.Places(output, settings.digest())
  source = Source(path.name, str(path))
  source_id = sources.identify(places, source)['source_id']
  clips = sources.curate(places, settings, (source, source_id))['clips']
  frames = foreign = 0
  for clip in clips:
    shown = video.decode(places.clips(source_id) / f'{clip["clip_id"]}.mp4')
    first = int(np.searchsorted(times, 1000 * clip['t_start'] - 1))
    shots = truth.shown(shown, first)
    own = collections.Counter(shots.tolist()).most_common(1)[0][0]
    frames, foreign = frames + len(shots), foreign + int(((shots != own) | (shots < 0)).sum())
  return len(clips), frames, foreign


def motion(folder, seeds=3):
  """Prints measured motion of pans as a share of the true one."""
  print('pans: measured / true motion, mean (least to most over seeds)')
  for speed in SPEEDS:
    ratios = collections.defaultdict(list)
    for seed in range(seeds):
      path = folder / 'pan.mp4'
      film.write(path, reel.make([reel.Shot('pan', 2.2, seed, speed)], 180, 320, FPS).frames, FPS)
      facts, times = probe.probe(path)
      samples = analysis.analyse(path, facts, times, Settings()).samples
      mean = lambda values: np.mean([v for v in values if v is not None])
      true = speed * 320 / np.hypot(320, 180)
      ratios['motion_dis'].append(mean([s.drift for s in samples]) / true)
      ratios['motion'].append(mean([s.motion for s in samples]) / true)
      small = mean([flow.magnitude(s.flow) for s in samples if s.flow is not None])
      ratios['motion_fb16'].append(small / (speed / flow.RATE * 28))
    print(f'  {50 * speed:5.1f} % of the width per half second: ' + ', '.join(
        f'{n} {np.mean(r):.3f} ({min(r):.3f} to {max(r):.3f})' for n, r in ratios.items()))


def main():
  """Runs the command line."""
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--reels', type=int, default=8)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--only', choices=('joints', 'leaks', 'motion'))
  args = parser.parse_args()
  wanted = lambda part: args.only in (None, part)
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    if wanted('joints'):
      joints(folder, args.seed, args.reels)
    if wanted('leaks'):
      leaks(folder, args.seed)
    if wanted('motion'):
      motion(folder)


if __name__ == '__main__':
  main()
