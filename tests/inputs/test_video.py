"""Decoding to upright RGB in presentation order, resizing, and sampling by time."""

import fractions
import io

import av
import einops
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from svdjax.inputs import video

GREY = 8  # brightness steps between neighbouring frames, far above coding error


def numbered(count, height=32, width=48):
  """Frames whose brightness tells their number."""
  levels = np.arange(count, dtype=np.uint8) * GREY
  return einops.repeat(levels, 't -> t h w 3', h=height, w=width)


def numbers(frames):
  """The numbers that `numbered` frames carry."""
  return np.round(frames.mean(axis=(1, 2, 3)) / GREY).astype(int).tolist()


def encode(frames, form='mp4', codec='libx264', pts=None, rotation=0, options=None):
  """bytes of a video, frames at `pts` ms or at 8 fps."""
  file = io.BytesIO()
  with av.open(file, 'w', format=form) as out:
    stream = out.add_stream(codec, rate=8, options=options or {})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv444p' if codec == 'libx264' else 'yuv420p'
    if rotation:
      stream.set_display_rotation(rotation)
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    for i, frame in enumerate(frames):
      picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
      picture.time_base = fractions.Fraction(1, 1000)
      picture.pts = 125 * i if pts is None else pts[i]
      out.mux(stream.encode(picture))
    out.mux(stream.encode())
  return file.getvalue()


def without_head(data, seconds):
  """The same mp4 with an edit list that hides its first seconds, kept for decoding."""
  file = io.BytesIO()
  with av.open(io.BytesIO(data)) as source, av.open(
      file, 'w', format='mp4', options={'avoid_negative_ts': 'disabled'}) as out:
    stream = out.add_stream_from_template(source.streams.video[0])
    for packet in source.demux(video=0):
      if packet.size:
        shift = round(seconds / packet.time_base)
        packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
        out.mux(packet)
  return file.getvalue()


SHORT_GOPS = {'g': '5', 'bf': '2', 'sc_threshold': '0'}
FILES = {
    'b frames': encode(numbered(20), options={'bf': '3', 'b_adapt': '0'}),
    'many keyframes': encode(numbered(20), options=SHORT_GOPS),
    'open gops': encode(numbered(20), options=SHORT_GOPS | {'x264-params': 'open-gop=1'}),
    'variable rate': encode(numbered(20), pts=np.cumsum(np.arange(20) % 5 * 30 + 10).tolist(),
                            options=SHORT_GOPS),
    'webm': encode(numbered(20), 'webm', 'libvpx-vp9', options={'g': '6'}),
    'transport stream': encode(numbered(20), 'mpegts', options=SHORT_GOPS),
}


@pytest.mark.parametrize('name', FILES)
def test_all_frames_in_presentation_order(name):
  assert numbers(video.decode(FILES[name])) == list(range(20))


@settings(max_examples=8, deadline=None)
@given(name=st.sampled_from(sorted(FILES)),
       indices=st.lists(st.integers(0, 19), min_size=1, max_size=5))
def test_chosen_frames_are_those_of_a_full_decode(name, indices):
  chosen = video.decode(FILES[name], indices)
  np.testing.assert_array_equal(chosen, video.decode(FILES[name])[indices])


def test_frames_hidden_by_an_edit_list_do_not_count():
  data = without_head(FILES['many keyframes'], 7 / 8)
  assert video.probe(data).num_frames == 13
  assert numbers(video.decode(data)) == list(range(7, 20))
  assert numbers(video.decode(data, [1, 9])) == [8, 16]


def test_only_frames_from_the_last_keyframe_to_the_last_wanted_are_decoded(monkeypatch):
  seen = []
  frames_from = video._frames_from  # pylint: disable=protected-access
  monkeypatch.setattr(video, '_frames_from',
                      lambda *args: (seen.append(f) or f for f in frames_from(*args)))
  assert numbers(video.decode(FILES['webm'], [13, 15])) == [13, 15]  # a keyframe every 6
  assert [round(f.time * 8) for f in seen] == [12, 13, 14, 15]


def test_no_indices_no_frames():
  assert video.decode(FILES['webm'], []).shape == (0, 32, 48, 3)


@pytest.mark.parametrize('index', [-1, 20])
def test_a_frame_outside_the_video_is_refused(index):
  with pytest.raises(video.VideoError, match=f'0 to 19, not {index}') as caught:
    video.decode(FILES['webm'], [3, index])
  assert caught.value.reason == 'bad_index'


def test_more_than_fits_in_memory_is_refused():
  with pytest.raises(video.VideoError) as caught:
    video.decode(FILES['webm'], max_pixels=20 * 32 * 48 - 1)
  assert caught.value.reason == 'too_large'


def test_colours_come_back():
  frames = np.zeros((3, 32, 48, 3), np.uint8)
  frames[:] = [200, 100, 40]
  np.testing.assert_allclose(video.decode(encode(frames)), frames, atol=4)


@pytest.mark.parametrize('rotation', [90, -90, 180])
def test_rotated_videos_come_upright(rotation):
  frames = np.zeros((3, 32, 48, 3), np.uint8)
  frames[:, :16, :24] = 255  # a mark in the top left corner
  decoded = video.decode(encode(frames, rotation=rotation))
  upright = np.rot90(frames, rotation // 90, axes=(1, 2))  # counter-clockwise
  assert decoded.shape == upright.shape
  assert np.abs(decoded.astype(int) - upright).mean() < 4


def test_odd_sizes_decode():
  assert video.decode(encode(numbered(3, 31, 47))).shape == (3, 31, 47, 3)


def test_damage_in_the_middle_is_refused():
  data = bytearray(encode(np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), np.uint8)))
  data[len(data) // 4:len(data) * 9 // 10] = bytes(len(data) * 9 // 10 - len(data) // 4)
  with pytest.raises(video.VideoError) as caught:
    video.decode(bytes(data), [30])
  assert caught.value.reason in ('damaged', 'truncated')


@settings(max_examples=20, deadline=None)
@given(h=st.integers(3, 40), w=st.integers(3, 40), height=st.integers(1, 30),
       width=st.integers(1, 30), offset=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_resize_crop_gives_the_size_asked_for_and_keeps_flat_colour(h, w, height, width, offset):
  frames = np.full((2, h, w, 3), 77, np.uint8)
  result = video.resize_crop(frames, height, width, offset)
  assert result.shape == (2, height, width, 3) and result.dtype == np.uint8
  assert (result == 77).all()


def test_resize_crop_of_the_same_size_changes_nothing():
  frames = np.random.default_rng(0).integers(0, 255, (2, 8, 9, 3), np.uint8)
  np.testing.assert_array_equal(video.resize_crop(frames, 8, 9), frames)


def test_crop_offset_is_a_share_of_the_slack():
  ramp = einops.repeat(np.arange(100, dtype=np.uint8), 'w -> h w 3', h=10)
  assert [video.resize_crop(ramp, 10, 20, (0.5, x))[0, 0, 0] for x in (0, 0.5, 1)] == [0, 40, 80]


def test_shrinking_averages():
  checks = einops.repeat(np.array([[0, 200], [200, 0]], np.uint8), 'a b -> (h a) (w b) 3', h=8, w=8)
  np.testing.assert_allclose(video.resize_crop(checks, 8, 8), 100)


def test_sampling_follows_time_not_frame_numbers():
  pts = np.array([0, 10, 20, 30, 1000, 2000])  # four frames at once, then one a second
  indices = video.sample_indices(pts, fractions.Fraction(1, 1000), 0.0, 3, 1.0)
  assert indices.tolist() == [0, 4, 5]


@settings(max_examples=30, deadline=None)
@given(gaps=st.lists(st.integers(1, 500), min_size=0, max_size=12), start=st.floats(0, 3),
       count=st.integers(1, 8), fps=st.floats(0.5, 60))
def test_no_frame_is_nearer_in_time(gaps, start, count, fps):
  pts = np.cumsum([0, *gaps])
  indices = video.sample_indices(pts, fractions.Fraction(1, 1000), start, count, fps)
  wanted = start + np.arange(count) / fps
  distance = np.abs(pts[indices] / 1000 - wanted)
  np.testing.assert_allclose(distance, np.abs(pts[:, None] / 1000 - wanted).min(axis=0), atol=1e-9)
