"""Files as they come from the world: each function writes one, `WRITERS` names them all."""

import fractions
import io

import av
import numpy as np

from data.toyworld import film, reel

FPS = 12
_COUNT = 3 * FPS


def _frames(height=72, width=96, seed=1, count=_COUNT):
  return reel.film(reel.Shot('pan', 1, seed, 0.1), count, height, width, FPS)


def _encode(path, codec, form, options=None, frames=None, **fields):
  """Encodes frames uint8 into a path or open file; fields are of stream and codec context."""
  frames = _frames() if frames is None else frames
  with av.open(path, 'w', format=form) as out:
    stream = out.add_stream(codec, rate=FPS, options=options or {})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = fields.pop('pix_fmt', 'yuv420p')
    for name, value in fields.items():
      setattr(stream.codec_context, name, value)
    for i, frame in enumerate(frames):
      picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
      picture.pts, picture.time_base = i, fractions.Fraction(1, FPS)
      out.mux(stream.encode(picture))
    out.mux(stream.encode())


def good(path):
  film.write(path, _frames(), FPS)


def empty(path):
  path.touch()


def words(path):
  path.write_text('This is no video.\n' * 100)


def playlist(path, port=9):
  path.write_text(f'#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n')


def without_index(path):
  film.write(path, _frames(), FPS)
  path.write_bytes(path.read_bytes()[:-3000])


def cut_short(path):
  """The index comes first and tells of more than is there."""
  with av.open(str(path), 'w', format='mp4', options={'movflags': 'faststart'}) as out:
    stream = out.add_stream('libx264', rate=FPS, options={'g': '6', 'bf': '0'})
    stream.height, stream.width, stream.pix_fmt = 72, 96, 'yuv420p'
    for i, frame in enumerate(_frames(count=8 * FPS)):
      picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
      picture.pts, picture.time_base = i, fractions.Fraction(1, FPS)
      out.mux(stream.encode(picture))
    out.mux(stream.encode())
  data = path.read_bytes()
  path.write_bytes(data[:len(data) * 6 // 10])


def sound(path, cover=False):
  with av.open(str(path), 'w', format='mp4') as out:
    stream = out.add_stream('aac', rate=44100)
    picture = out.add_stream('mjpeg', rate=1) if cover else None
    if cover:
      picture.height, picture.width, picture.pix_fmt = 72, 96, 'yuvj420p'
      picture.disposition = av.stream.Disposition.attached_pic
      frame = av.VideoFrame.from_ndarray(_frames(count=1)[0], format='rgb24')
      out.mux(picture.encode(frame.reformat(format='yuvj420p')))
      out.mux(picture.encode())
    for i in range(40):
      block = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), 'fltp', 'mono')
      block.sample_rate, block.pts = 44100, 2048 * i
      out.mux(stream.encode(block))
    out.mux(stream.encode())


def cover_art(path):
  sound(path, cover=True)


def variable_rate(path):
  times = np.cumsum(np.where(np.arange(_COUNT) % 3, 50, 160))
  film.write(path, _frames(), FPS, pts=times)


def corrupt(path):
  film.write(path, _frames(), FPS, options={'g': '12'})
  data = bytearray(path.read_bytes())
  rng = np.random.default_rng(0)
  start = data.index(b'mdat') + 1500
  for place in rng.integers(start, len(data) - 4000, 60):
    data[place] ^= 0xff
  path.write_bytes(data)


def huge(path):
  _encode(path, 'libx264', 'mp4', {'preset': 'ultrafast'}, np.zeros((2, 4320, 7680, 3), np.uint8))


def hdr(path):
  _encode(path, 'libx265', 'mp4', {'preset': 'ultrafast', 'x265-params': 'log-level=none'},
          pix_fmt='yuv420p10le', color_trc=16, color_primaries=9, colorspace=9)


def turned(path):
  film.write(path, _frames(), FPS, rotation=90)


def raw(path):
  _encode(path, 'libx264', 'h264')


def resized(path):
  """Two transport streams one after another: other size, and the clock starts anew."""
  parts = []
  for size in ((72, 96), (96, 128)):
    file = io.BytesIO()
    _encode(file, 'libx264', 'mpegts', frames=_frames(*size))
    parts.append(file.getvalue())
  path.write_bytes(b''.join(parts))


def resized_within(path):
  """VP9 whose picture size changes at a keyframe, while the header tells the first size."""
  parts = []
  for size in ((72, 96), (96, 128)):
    file = io.BytesIO()
    film.write_to(file, _frames(*size), FPS, 'vp9')
    file.seek(0)
    parts.append(file)
  with av.open(str(path), 'w', format='webm') as out:
    stream, start = None, 0
    for file in parts:
      with av.open(file) as source:
        stream = stream or out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
          if packet.size:
            packet.pts += start
            packet.dts = packet.pts
            packet.stream = stream
            out.mux(packet)
      start += 3000


def edited(path):
  """An edit list hides the first second, which only the middle of a GOP would end."""
  whole = io.BytesIO()
  with av.open(whole, 'w', format='matroska') as out:
    stream = out.add_stream('libx264', rate=FPS, options={'g': '8', 'sc_threshold': '0', 'bf': '0'})
    stream.height, stream.width, stream.pix_fmt = 72, 96, 'yuv420p'
    for i, frame in enumerate(_frames(count=5 * FPS)):
      picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
      picture.pts, picture.time_base = i, fractions.Fraction(1, FPS)
      out.mux(stream.encode(picture))
    out.mux(stream.encode())
  whole.seek(0)
  with av.open(whole) as source, av.open(str(path), 'w', format='mp4', options={
      'avoid_negative_ts': 'disabled', 'use_editlist': '1'}) as out:
    stream = out.add_stream_from_template(source.streams.video[0])
    for packet in source.demux(source.streams.video[0]):
      if packet.size:
        packet.pts -= 1000
        packet.dts = packet.pts
        packet.stream = stream
        out.mux(packet)


def one_keyframe(path):
  """A cut lies between the only keyframe and everything else that is long enough."""
  made = reel.make([reel.Shot('pan', 1, 1), reel.Shot('pan', 4, 2)], 72, 96, FPS)
  film.write(path, made.frames, FPS, options={'g': '999', 'sc_threshold': '0'})


def one_frame(path):
  film.write(path, _frames(count=1), FPS)


def interlaced(path):
  _encode(path, 'mpeg2video', 'mpegts', {'flags': '+ildct+ilme', 'b': '2000000'},
          sample_aspect_ratio=fractions.Fraction(4, 3))


def av1(path):
  film.write(path, _frames(), FPS, 'av1')


def vp9(path):
  film.write(path, _frames(), FPS, 'vp9')


def odd(path):
  _encode(path, 'libx264', 'mp4', frames=_frames(73, 97), pix_fmt='yuv444p')


def gif(path):
  _encode(path, 'gif', 'gif', pix_fmt='rgb8')


def windows(path):
  _encode(path, 'wmv2', 'asf')


# file: (writer, code of the failure expected or None, clips expected with the paper's preset)
WRITERS = {
    'a_good.mp4': (good, None, 1), 'empty.mp4': (empty, 'EMPTY_FILE', 0),
    'words.mp4': (words, 'UNREADABLE', 0), 'playlist.mp4': (playlist, 'UNREADABLE', 0),
    'no_index.mp4': (without_index, 'UNREADABLE', 0), 'short.mp4': (cut_short, 'TRUNCATED', 1),
    'sound.m4a': (sound, 'NO_VIDEO', 0), 'cover.m4a': (cover_art, 'NO_VIDEO', 0),
    'variable.mp4': (variable_rate, None, 1), 'corrupt.mp4': (corrupt, 'CORRUPT', 0),
    'huge.mp4': (huge, 'TOO_LARGE', 0), 'hdr.mp4': (hdr, None, 1), 'turned.mp4': (turned, None, 1),
    'raw.h264': (raw, 'NO_TIMESTAMPS', 0), 'resized.ts': (resized, None, 2),
    'resized.webm': (resized_within, 'RESIZED', 1), 'edited.mp4': (edited, None, 1),
    'one_key.mp4': (one_keyframe, 'NO_KEYFRAME', 0),
    'one_frame.mp4': (one_frame, 'TOO_SHORT', 0), 'interlaced.ts': (interlaced, None, 1),
    'av1.mp4': (av1, None, 1), 'vp9.webm': (vp9, None, 1), 'odd.mp4': (odd, None, 1),
    'moving.gif': (gif, None, 1), 'windows.wmv': (windows, 'CODEC', 0), 'copy.mp4': (good, 'DUPLICATE', 0),
}
