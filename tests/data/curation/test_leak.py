"""No clip shows a frame of a neighbouring shot, whatever the codec."""

import numpy as np
import pytest

from data.toyworld import film
from svdjax.inputs import container, video

FPS = 24


def shown_shots(clip, path, shots):
  """Numbers of the shots whose frames a clip shows, by its pictures; -1 for faded ones."""
  return set(shots.shown(video.decode(path), round(clip['t_start'] * FPS)).tolist())


@pytest.mark.parametrize('sort, leads', [('h264', False), ('h264_open_gop', True),
                                         ('hevc_open_gop', True)])
def test_the_footage_is_as_hard_as_it_is_called(sort, leads, filmed):
  """Frames are stored out of order; in open GOPs some are shown before the keyframe they follow."""
  with container.open_video(filmed(sort)) as (file, stream):
    packets = [p for p in file.demux(stream) if p.pts is not None]
  times = [p.pts for p in packets]
  assert times != sorted(times)
  starts = [i for i, p in enumerate(packets) if p.is_keyframe]
  led = [any(t < times[i] for t in times[i + 1:]) for i in starts[1:]]
  assert any(led) == leads and len(led) > 3


@pytest.mark.parametrize('sort', sorted(film.SORTS))
def test_clips_show_one_shot_alone(sort, shots, filmed, curated):
  row = curated(filmed(sort), min_seconds=0.75)
  assert len(row.clips) >= 4
  for clip in row.clips:
    shown = shown_shots(clip, row.file(clip), shots)
    assert len(shown) == 1 and -1 not in shown, clip['t_start']
  assert sum(c['num_frames'] for c in row.clips) > 0.5 * (shots.shot_of >= 0).sum()


def test_variable_rate_shows_one_shot_alone(shots, tmp_path, curated):
  steps = np.where(np.arange(len(shots.frames)) % 3, 25, 70)  # ms
  pts = np.concatenate([[0], np.cumsum(steps)[:-1]])
  film.write(tmp_path / 'vfr.mp4', shots.frames, FPS, pts=pts)
  row = curated(tmp_path / 'vfr.mp4', min_seconds=0.75)
  assert len(row.clips) >= 4
  for clip in row.clips:
    first = int(np.searchsorted(pts, 1000 * clip['t_start'] - 1))
    shown = set(shots.shot_of[first:first + clip['num_frames']].tolist())
    assert len(shown) == 1 and -1 not in shown
    assert shown_shots(clip | {'t_start': first / FPS}, row.file(clip), shots) == shown
    assert clip['fps_min'] < 0.5 * clip['fps_max']


def test_encoding_anew_shows_one_shot_alone(shots, tmp_path, curated):
  film.write(tmp_path / 'gop.mp4', shots.frames, FPS, options={'g': '9999', 'sc_threshold': '0'})
  assert {f['code'] for f in curated(tmp_path / 'gop.mp4').failures} == {'NO_KEYFRAME'}
  row = curated(tmp_path / 'gop.mp4', reencode=True)
  assert sum(c['is_reencoded'] for c in row.clips) >= 4 and not row.failures
  for clip in row.clips:
    shown = shown_shots(clip, row.file(clip), shots)
    assert len(shown) == 1 and -1 not in shown
