"""The motion score measures true motion; the bucket map is monotone and invertible."""

import einops
from hypothesis import given, strategies as st
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.inputs import export, motion


def texture(height, width, seed=0):
  """A periodic texture with a natural 1/f spectrum, float [h w]."""
  fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
  phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (height, width))
  waves = np.exp(1j * phase) / np.maximum(np.hypot(fy, fx), 1 / max(height, width))
  picture = np.fft.ifft2(waves).real
  return np.clip(128 + 50 * picture / picture.std(), 0, 255)


def rgb(frames):
  return einops.repeat(np.asarray(frames).astype(np.uint8), 't h w -> t h w 3')


def pan(share, fps, height=48, width=64, seconds=1.0):
  """A camera that pans by `share` of the width in half a second."""
  world = texture(height, 4 * width)
  step = share * width * 2 / fps
  columns = np.arange(width)
  rows = []
  for t in range(round(seconds * fps) + 1):
    x = columns + step * t
    low = np.floor(x).astype(int)
    rows.append(world[:, low] * (1 - (x - low)) + world[:, low + 1] * (x - low))
  return rgb(rows)


@pytest.mark.parametrize('share', [0.01, 0.03, 0.06, 0.1])
@pytest.mark.parametrize('fps', [8, 24])
def test_a_known_pan_is_measured(share, fps):
  true = share * 64 * 2 / np.hypot(48, 64)
  assert motion.motion_score(pan(share, fps), fps) == pytest.approx(true, rel=0.15)


def test_the_score_does_not_depend_on_the_picture_size():
  small, large = (motion.motion_score(pan(0.05, 8, 48 * k, 64 * k), 8) for k in (1, 4))
  assert small == pytest.approx(large, rel=0.15)


@pytest.mark.parametrize('speed', [2, 3, 4])
def test_a_small_moving_object_is_measured(speed):
  scores = []
  for seed in range(3):
    frames = np.repeat(texture(48, 64, seed)[None], 9, axis=0)
    for t in range(9):
      frames[t, 16:32, 4 + speed * t:20 + speed * t] = 255 - texture(16, 16, seed + 10)
    scores.append(motion.motion_score(rgb(frames), 8))
  true = speed * 8 * (16 * 16) / (48 * 64) / np.hypot(48, 64)
  assert np.mean(scores) == pytest.approx(true, rel=0.35)


def test_stillness_scores_zero_and_noise_nearly():
  still = np.repeat(texture(48, 64)[None], 5, axis=0)
  noise = np.random.default_rng(0).normal(0, 6, still.shape)
  assert motion.motion_score(rgb(still), 8) == 0
  assert motion.motion_score(rgb(np.clip(still + noise, 0, 255)), 8) < 0.006


def test_one_frame_has_no_motion():
  assert motion.motion_score(pan(0.1, 8)[:1], 8) == 0


def test_the_median_motion_is_the_middle_bucket():
  assert motion.motion_bucket(motion.MEDIAN_MOTION) == pytest.approx(127.5)
  assert motion.motion_bucket(0) == 0


@given(st.floats(0, 100), st.floats(0, 100))
def test_buckets_are_bounded_and_monotone(a, b):
  low, high = motion.motion_bucket(min(a, b)), motion.motion_bucket(max(a, b))
  assert 0 <= low <= high < 255


@given(st.floats(0, 10))
def test_buckets_round_trip(score):
  back = motion.bucket_motion(motion.motion_bucket(score))
  assert back == pytest.approx(score, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('bucket', [-1, 255, float('nan')])
def test_buckets_out_of_range_are_refused(bucket):
  with pytest.raises(BadInput, match='0 to 254'):
    motion.bucket_motion(bucket)


def test_a_file_scores_what_its_frames_score(tmp_path, capsys, monkeypatch):
  frames = pan(0.03, 24, seconds=2.)
  export.write_mp4(tmp_path / 'pan.mp4', frames, 24)
  score = motion.motion_score(frames, 24)
  assert motion.file_motion(tmp_path / 'pan.mp4') == pytest.approx(score, rel=0.05)
  monkeypatch.setattr(motion, '_CHUNK', 3)
  assert motion.file_motion(tmp_path / 'pan.mp4') == pytest.approx(score, rel=0.05)
  motion.main([str(tmp_path / 'pan.mp4')])
  head, line = capsys.readouterr().out.splitlines()
  assert head.split('\t') == ['score', 'bucket', 'file']
  assert float(line.split('\t')[0]) == pytest.approx(score, rel=0.05)
  assert float(line.split('\t')[1]) == pytest.approx(motion.motion_bucket(score), abs=3)


def test_files_that_cannot_be_read_do_not_lose_the_others(tmp_path, capsys):
  export.write_mp4(tmp_path / 'pan.mp4', pan(0.03, 8), 8)
  (tmp_path / 'text.mp4').write_text('no video')
  with pytest.raises(BadInput, match='text.mp4'):
    motion.main([str(tmp_path / 'text.mp4'), str(tmp_path / 'pan.mp4')])
  assert 'pan.mp4' in capsys.readouterr().out
