"""What the one decode finds in footage whose truth is known."""

import cv2
import numpy as np
import pytest

from data.curation import cuts, fades, flow, text
from data.toyworld import film, reel
from svdjax.inputs import video

FPS = 24


def frame_numbers(times, ticks):
  return [int(np.searchsorted(times.pts, t)) for t in ticks]


@pytest.mark.parametrize('sort', ['h264', 'vp9'])
def test_cuts_are_found_to_the_frame_and_fades_are_closed(sort, shots, filmed, analysed):
  _, times, found = analysed(filmed(sort))
  seen = [n for n in frame_numbers(times, found.cuts)
          if not any(a <= n <= b + 1 for a, b in shots.fades)]
  assert seen == shots.cuts
  closed = np.zeros(len(shots.frames), bool)
  for a, b in found.closed:
    closed[slice(*frame_numbers(times, (a, b)))] = True
  faded = shots.shot_of < 0
  assert closed[faded].mean() > 0.95
  assert closed[~faded].mean() < 0.2


def test_many_random_reels(analysed, tmp_path):
  """Precision and recall over 12 joints of each sort, shots drawn at random."""
  rng, hits = np.random.default_rng(0), {'cut': [], 'fade': [], 'black': []}
  false, closed_frames, faded_frames = 0, [], []
  for i in range(4):
    joins = ['cut', *rng.permutation(['cut', 'fade', 'black'] * 3)]
    made = reel.make([reel.Shot(str(rng.choice(['pan', 'still', 'toy'])), 3, 100 * i + k,
                                float(rng.uniform(0.02, 0.2)), join, float(rng.uniform(0.5, 1.2)))
                      for k, join in enumerate(joins)], 108, 192, FPS)
    film.write(tmp_path / f'{i}.mp4', made.frames, FPS)
    _, times, found = analysed(tmp_path / f'{i}.mp4')
    edges = sorted([(n, n) for n in frame_numbers(times, found.cuts)]
                   + [tuple(frame_numbers(times, zone)) for zone in found.closed])
    hits['cut'] += [(n, n) in edges for n in made.cuts]
    kinds = [join for join in joins[1:] if join != 'cut']
    for kind, (a, b) in zip(kinds, made.fades):
      hits[kind].append(any(low <= b and high >= a for low, high in edges))
    closed = np.zeros(len(made.frames) + 1, bool)
    for low, high in edges:
      closed[low:high] = True
    closed_frames.append(closed[:-1][made.shot_of >= 0])
    faded_frames.append(closed[:-1][made.shot_of < 0])
    truth = [(n, n) for n in made.cuts] + made.fades
    false += sum(not any(low <= b + 1 and high >= a - 1 for a, b in truth) for low, high in edges)
  assert np.mean(hits['cut']) == 1 and np.mean(hits['black']) == 1
  assert np.mean(hits['fade']) >= 0.9
  assert false <= 2
  assert np.concatenate(faded_frames).mean() > 0.995
  assert np.concatenate(closed_frames).mean() < 0.45  # of footage with a fade every 4.5 s


def test_content_is_that_of_pyscenedetect(shots):
  detectors = pytest.importorskip('scenedetect.detectors')
  scenedetect = pytest.importorskip('scenedetect')
  detector = detectors.ContentDetector()
  metrics = scenedetect.StatsManager()
  detector.stats_manager = metrics
  frames = shots.frames[68:76:2, ..., ::-1]
  hsv = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_BGR2HSV) for f in frames]
  ours = [cuts.content(a, b) for a, b in zip(hsv, hsv[1:])]
  theirs = [detector._calculate_frame_score(i, np.ascontiguousarray(f))  # pylint: disable=protected-access
            for i, f in enumerate(frames)]
  np.testing.assert_allclose(ours, theirs[1:], atol=1e-3)


@pytest.mark.parametrize('speed', [0.02, 0.06, 0.12, 0.2])  # frame widths a second
def test_motion_of_pans_is_within_a_tenth(speed, tmp_path, analysed):
  made = reel.make([reel.Shot('pan', 2.2, 8, speed)], 180, 320, FPS)
  film.write(tmp_path / 'pan.mp4', made.frames, FPS)
  _, _, found = analysed(tmp_path / 'pan.mp4')
  drift = np.mean([s.drift for s in found.samples if s.drift is not None])
  near = np.mean([s.motion for s in found.samples if s.motion is not None])
  assert drift == pytest.approx(speed * 320 / np.hypot(320, 180), rel=0.1)
  assert near == pytest.approx(drift, rel=0.1)
  grid = np.mean([flow.magnitude(s.flow) for s in found.samples if s.flow is not None])
  assert grid == pytest.approx(speed / 2 * 28, rel=0.15)  # 28 columns at a short side of 16


def test_a_still_hardly_moves(tmp_path, analysed):
  made = reel.make([reel.Shot('still', 2.2, 8)], 108, 192, FPS)
  film.write(tmp_path / 'still.mp4', made.frames, FPS)
  _, _, found = analysed(tmp_path / 'still.mp4')
  assert max(s.drift for s in found.samples if s.drift is not None) < 0.002


def test_text_is_told_from_texture():
  area = lambda kind, seed: text.area(cv2.cvtColor(
      reel.film(reel.Shot(kind, 1, seed, 0.02), 1, 216, 384, FPS)[0], cv2.COLOR_RGB2GRAY))
  assert min(area('text', seed) for seed in range(6)) > 0.3
  assert max(area(kind, seed) for kind in ('pan', 'toy') for seed in range(6)) < 0.02


@pytest.mark.parametrize('frames', [3, 4])
def test_a_fast_fade_is_closed_to_its_ends(frames):
  """Its steps look like cuts; the last one need not, and what follows it is still faded."""
  a, b = reel.texture(1, 108, 192).astype(np.float32), np.zeros((108, 192, 3), np.float32)
  share = np.clip((np.arange(40) - 10) / (frames + 1), 0, 1)
  cascade = cuts.Cascade([(0.0, 10.0)])
  for t, s in enumerate(share):
    cascade.feed(t, t / FPS, np.uint8((1 - s) * a + s * b))
  closed = {t for low, high in cascade.bursts() for t in range(low, high)}
  assert set(range(11, 11 + frames)) <= closed <= set(range(6, 18 + frames))


def test_a_fade_is_a_straight_line_and_a_cut_is_not():
  a, b = np.full((18, 32), 60, np.uint8), np.full((18, 32), 160, np.uint8)
  fade = [np.uint8(a + (b - a) * np.clip((t - 10) / 10, 0, 1)) for t in range(40)]
  cut = [a] * 20 + [b] * 20
  seconds = np.arange(40) / fades.RATE
  [(first, last)] = fades.intervals(np.stack(fade), seconds, 12)
  assert first <= 12 and last >= 18
  assert not fades.intervals(np.stack(cut), seconds, 12)


def test_pictures_are_upright(tmp_path, analysed):
  made = reel.make([reel.Shot('still', 1.2, 9)], 96, 128, FPS)
  film.write(tmp_path / 'turned.mp4', made.frames, FPS, rotation=90)
  facts, _, found = analysed(tmp_path / 'turned.mp4')
  assert (facts.width, facts.height, facts.rotation_deg) == (96, 128, 270)
  upright = video.decode(tmp_path / 'turned.mp4', [0])[0]
  shown = cv2.resize(found.pictures(0), upright.shape[1::-1], interpolation=cv2.INTER_AREA)
  assert np.abs(shown.astype(int) - upright).mean() < 6
