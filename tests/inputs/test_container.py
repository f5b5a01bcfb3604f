"""What `probe` says of a video, and which files it refuses."""

import fractions
import io
import pickle

import av
import numpy as np
import pytest

from svdjax.inputs import container, export
from svdjax.inputs.container import VideoError, probe


def pictures(count, height=32, width=48, seed=0):
  return np.random.default_rng(seed).integers(0, 255, (count, height, width, 3), np.uint8)


def encode(frames, form='mp4', codec='libx264', pts=None, rate=8, rotation=0, aspect=None,
           options=None):
  """bytes of a video with chosen frame times (in 1/1000 s), rotation and pixel aspect."""
  file = io.BytesIO()
  with av.open(file, 'w', format=form) as out:
    stream = out.add_stream(codec, rate=rate, options=options or {})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    if pts is not None:
      stream.codec_context.time_base = fractions.Fraction(1, 1000)
    if aspect is not None:
      stream.codec_context.sample_aspect_ratio = aspect
    if rotation:
      stream.set_display_rotation(rotation)
    for i, frame in enumerate(frames):
      picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
      if pts is not None:
        picture.pts, picture.time_base = pts[i], fractions.Fraction(1, 1000)
      out.mux(stream.encode(picture))
    out.mux(stream.encode())
  return file.getvalue()


def sound_only():
  file = io.BytesIO()
  with av.open(file, 'w', format='mp4') as out:
    stream = out.add_stream('aac', rate=16000, layout='mono')
    samples = np.zeros((1, 16000), np.float32)
    sound = av.AudioFrame.from_ndarray(samples, format='fltp', layout='mono')
    sound.sample_rate = 16000
    out.mux(stream.encode(sound))
    out.mux(stream.encode())
  return file.getvalue()


@pytest.mark.parametrize('form, codec', [
    ('mp4', 'libx264'), ('webm', 'libvpx-vp9'), ('matroska', 'libx264'), ('avi', 'mpeg4'),
    ('mpegts', 'libx264'), ('mov', 'mpeg4')])
def test_every_container_tells_the_same_story(form, codec):
  info = probe(encode(pictures(16), form, codec))
  assert (info.width, info.height, info.num_frames) == (48, 32, 16)
  assert info.fps == pytest.approx(8, rel=1e-3)
  assert info.duration == pytest.approx(2, rel=1e-3)
  np.testing.assert_allclose(info.pts * float(info.timebase), np.arange(16) / 8, atol=2e-3)


def test_times_of_a_variable_rate_are_kept():
  pts = [0, 30, 60, 400, 410, 1000]
  info = probe(encode(pictures(6), pts=pts))
  np.testing.assert_allclose(info.pts * float(info.timebase) * 1000, pts, atol=0.5)


def test_times_start_at_zero_even_if_the_file_does_not():
  info = probe(encode(pictures(6), 'matroska', pts=[500, 600, 700, 800, 900, 1000]))
  assert info.pts[0] == 0
  assert info.duration == pytest.approx(0.6, abs=0.05)


def test_rotation_swaps_width_and_height():
  info = probe(encode(pictures(3), rotation=90))
  assert (info.width, info.height) == (32, 48)


def test_wide_pixels_widen_the_picture():
  info = probe(encode(pictures(3), aspect=fractions.Fraction(3, 2)))
  assert (info.width, info.height) == (72, 32)


@pytest.mark.parametrize('text', [
    'not a video', '#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n',
    'ffconcat version 1.0\nfile x'])
def test_text_and_playlists_are_not_videos(tmp_path, text):
  path = tmp_path / 'clip.mp4'
  path.write_text(text)
  with pytest.raises(VideoError, match='clip.mp4') as caught:
    probe(path)
  assert caught.value.reason == 'not_a_video'


def test_a_picture_is_not_a_video(tmp_path):
  export.write_png(tmp_path / 'x.png', pictures(1)[0])
  with pytest.raises(VideoError) as caught:
    probe(tmp_path / 'x.png')
  assert caught.value.reason == 'not_a_video'


@pytest.mark.parametrize('form, codec', [
    ('mp4', 'libx264'), ('webm', 'libvpx-vp9'), ('avi', 'mpeg4')])
@pytest.mark.parametrize('share', [0.2, 0.6])
def test_half_a_file_is_truncated(form, codec, share):
  data = encode(pictures(24), form, codec)
  with pytest.raises(VideoError) as caught:
    probe(data[:int(share * len(data))])
  assert caught.value.reason == 'truncated'


def test_half_a_streamable_mp4_is_truncated(tmp_path):
  export.write_mp4(tmp_path / 'x.mp4', pictures(24), fps=8)  # its index comes first
  data = (tmp_path / 'x.mp4').read_bytes()
  with pytest.raises(VideoError, match='declares 3.00 s') as caught:
    probe(data[:len(data) * 2 // 3])
  assert caught.value.reason == 'truncated'


def test_sound_alone_is_refused():
  with pytest.raises(VideoError) as caught:
    probe(sound_only())
  assert caught.value.reason == 'no_video_stream'


def test_nothing_is_refused(tmp_path):
  with pytest.raises(VideoError) as caught:
    probe(b'')
  assert caught.value.reason == 'empty'
  with pytest.raises(VideoError) as caught:
    probe(tmp_path / 'absent.mp4')
  assert caught.value.reason == 'missing'


def test_more_pixels_than_allowed_are_refused():
  data = encode(pictures(16))
  assert probe(data, max_pixels=16 * 32 * 48).num_frames == 16
  with pytest.raises(VideoError) as caught:
    probe(data, max_pixels=16 * 32 * 48 - 1)
  assert caught.value.reason == 'too_large'


def test_minutes_of_sound_are_no_long_index():
  """Of more samples than an index may have entries; hostile.py has those that are too long."""
  file, block = io.BytesIO(), np.zeros((1, 48000), np.uint8)
  with av.open(file, 'w', format='mov') as out:
    seen, heard = out.add_stream('libx264', rate=1), out.add_stream('pcm_u8', rate=48000)
    heard.layout, seen.height, seen.width, seen.pix_fmt = 'mono', 32, 48, 'yuv420p'
    for second in range(container.MAX_INDEX // 48000 + 2):
      sound = av.AudioFrame.from_ndarray(block, 'u8', 'mono')
      sound.sample_rate, sound.pts = 48000, second * 48000
      out.mux(heard.encode(sound))
      picture = av.VideoFrame(48, 32, 'yuv420p')
      picture.pts, picture.time_base = second, fractions.Fraction(1)
      out.mux(seen.encode(picture))
    out.mux(heard.encode())
    out.mux(seen.encode())
  assert probe(file.getvalue()).num_frames == container.MAX_INDEX // 48000 + 2


def test_keyframes_are_found():
  data = encode(pictures(24), options={'g': '8', 'keyint_min': '8', 'sc_threshold': '0'})
  info, layout = container.scan(data)
  np.testing.assert_array_equal(layout.keyframes - layout.start, info.pts[::8])


def test_errors_survive_the_way_between_processes():
  error = pickle.loads(pickle.dumps(VideoError('empty', 'nothing there')))
  assert (error.reason, str(error)) == ('empty', 'nothing there')
