"""Clips are cut from packets: exact frames, nothing of the next span."""

import fractions
import io
import types

import av
import einops
import numpy as np
import pytest

from data import cut
from svdjax.inputs import container, video
from svdjax.inputs.container import VideoError

GREY = 4  # brightness steps between neighbouring frames, above coding error
GOPS = {'g': '8', 'keyint_min': '8', 'sc_threshold': '0', 'bf': '3', 'b_adapt': '0', 'crf': '10'}


def encode(count, form='mp4', codec='libx264', pts=None, rotation=0, options=None):
  """bytes of a video whose frame brightness tells its number, at 8 fps or at `pts` ms."""
  file = io.BytesIO()
  with av.open(file, 'w', format=form) as out:
    stream = out.add_stream(codec, rate=8, options=options or {})
    stream.height, stream.width, stream.pix_fmt = 32, 48, 'yuv420p'
    stream.codec_context.time_base = fractions.Fraction(1, 1000)
    if rotation:
      stream.set_display_rotation(rotation)
    for i in range(count):
      pixels = einops.repeat(np.uint8([GREY * i]), '1 -> h w 3', h=32, w=48)
      picture = av.VideoFrame.from_ndarray(pixels, format='rgb24')
      picture.time_base = fractions.Fraction(1, 1000)
      picture.pts = 125 * i if pts is None else pts[i]
      out.mux(stream.encode(picture))
    out.mux(stream.encode())
  return file.getvalue()


def cut_up(data, max_seconds):
  """[(frame numbers that the packets claim, frame numbers that the pictures show)] of clips."""
  info, layout = container.scan(data)
  clips = []
  for pts, mp4 in cut.cut(data, info, layout, cut.spans(info, layout, max_seconds)):
    claimed = np.searchsorted(layout.start + info.pts, pts)
    shown = np.round(video.decode(mp4).mean(axis=(1, 2, 3)) / GREY).astype(int)
    clips.append((claimed.tolist(), shown.tolist()))
  return clips


@pytest.mark.parametrize('form, codec, options', [
    ('mp4', 'libx264', GOPS), ('mpegts', 'libx264', GOPS), ('matroska', 'libx264', GOPS),
    ('webm', 'libvpx-vp9', {'g': '8', 'keyint_min': '8'}),
    ('avi', 'mpeg4', {'g': '8', 'sc_threshold': '1000000000', 'b': '4000000'})])
def test_clips_partition_the_video_at_keyframes(form, codec, options):
  clips = cut_up(encode(40, form, codec, options=options), max_seconds=2)
  assert clips == [(list(range(a, min(a + 16, 40))),) * 2 for a in (0, 16, 32)]


def test_open_gops_lose_only_frames_that_need_the_next_clip():
  options = GOPS | {'x264-params': 'open-gop=1'}
  clips = cut_up(encode(40, options=options), max_seconds=2)
  assert len(clips) == 3
  for claimed, shown in clips:
    assert claimed == shown == list(range(claimed[0], claimed[-1] + 1))
  assert sum(len(claimed) for claimed, _ in clips) >= 40 - 2 * 3


def test_without_keyframes_a_clip_ends_where_its_packets_are_whole():
  clips = cut_up(encode(40, options=GOPS | {'g': '100'}), max_seconds=1.3)
  [(claimed, shown)] = clips
  assert claimed == shown == list(range(len(shown)))
  assert 7 <= len(shown) <= 11  # at most what begins within 1.3 s, at least that less a B pyramid


def test_a_clip_has_no_hole():
  packets = [types.SimpleNamespace(pts=t) for t in (0, 4, 2, 1, 3, 8, 6)]
  kept = cut._unbroken(packets, np.arange(9))  # pylint: disable=protected-access
  assert [p.pts for p in kept] == [0, 4, 2, 1, 3]


def test_variable_rate_keeps_its_times():
  pts = np.cumsum(np.arange(24) % 5 * 40 + 20)
  data = encode(24, pts=pts.tolist(), options=GOPS)
  info, layout = container.scan(data)
  for ticks, mp4 in cut.cut(data, info, layout, cut.spans(info, layout, 1.0)):
    clip = video.probe(mp4)
    np.testing.assert_allclose(clip.pts * float(clip.timebase),
                               (ticks - ticks[0]) * float(info.timebase), atol=1e-4)


def test_rotation_is_kept():
  data = encode(8, rotation=90)
  info, layout = container.scan(data)
  [(_, mp4)] = cut.cut(data, info, layout, cut.spans(info, layout, 20))
  assert (video.probe(mp4).width, video.probe(mp4).height) == (32, 48)


def test_a_codec_that_mp4_cannot_hold_is_named():
  data = encode(8, 'webm', 'libvpx')
  info, layout = container.scan(data)
  with pytest.raises(VideoError, match='vp8') as caught:
    list(cut.cut(data, info, layout, cut.spans(info, layout, 20)))
  assert caught.value.reason == 'codec'
