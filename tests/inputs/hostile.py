"""Videos from a world that means no good: `write` makes each of FILES, which says what they are."""

import fractions
import importlib.util
import io
import pathlib
import struct
import zlib

import av
import numpy as np

_spec = importlib.util.spec_from_file_location(
    'damage', pathlib.Path(__file__).parents[1] / 'data' / 'curation' / 'damage.py')
damage = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(damage)

FPS, COUNT = 12, 36
_BOXES = (b'moov', b'trak', b'edts', b'mdia', b'minf', b'dinf', b'stbl')


def video(height=72, width=96, count=COUNT, codec='libx264', form='mp4', pts=None, rotation=0,
          pix_fmt='yuv420p', options=None, **fields):
  """bytes of a video of one picture of noise, or of nothing if it is large.

  Args as their names say; `pts` are in 1/1000 s, and further `fields` of the codec context.
  """
  file, rng = io.BytesIO(), np.random.default_rng(0)
  large = height * width >= 2 ** 24
  noise = av.VideoFrame(width, height, 'yuv420p') if large else av.VideoFrame.from_ndarray(
      rng.integers(0, 255, (height, width, 3), np.uint8), 'rgb24')
  for plane in noise.planes if large else ():
    plane.update(bytes(plane.buffer_size))
  with av.open(file, 'w', format=form) as out:
    stream = out.add_stream(codec, rate=FPS, options=options or {'preset': 'ultrafast'})
    stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
    for name, value in fields.items():
      setattr(stream.codec_context, name, value)
    timebase = fractions.Fraction(1, FPS if pts is None else 1000)
    stream.codec_context.time_base = timebase
    if rotation:
      stream.set_display_rotation(rotation)
    for at in range(count) if pts is None else pts:
      noise.pts, noise.time_base = at, timebase
      out.mux(stream.encode(noise))
    out.mux(stream.encode())
  return file.getvalue()


def stretched(wide):
  """A small picture whose pixels are so many times as wide as high."""
  data = video(sample_aspect_ratio=fractions.Fraction(2))
  return data.replace(b'pasp' + struct.pack('>II', 2, 1), b'pasp' + struct.pack('>II', wide, 1))


def _box(kind, inside):
  return struct.pack('>I4s', len(inside) + 8, kind) + inside


def edited(data, kind, change):
  """An mp4 (index at its end) with what is in its boxes of one kind changed."""
  made, at = b'', 0
  while at < len(data):
    size, name = struct.unpack_from('>I4s', data, at)
    inside = data[at + 8:at + size]
    inside = change(inside) if name == kind else (
        edited(inside, kind, change) if name in _BOXES else inside)
    made, at = made + _box(name, inside), at + size
  return made


def samples(count):
  """An mp4 of some kilobytes whose index tells of `count` frames of one byte."""
  data = edited(video(), b'stsz', lambda _: struct.pack('>III', 0, 1, count))
  data = edited(data, b'stts', lambda _: struct.pack('>IIII', 0, 1, count, 1))
  data = edited(data, b'ctts', lambda _: struct.pack('>II', 0, 0))
  return edited(data, b'stsc', lambda _: struct.pack('>IIIII', 0, 1, 1, count, 1))


def edits(count):
  """An mp4 of some kilobytes that shows its million frames `count` times."""
  rows = struct.pack('>IIHH', 2 ** 31 - 1, 0, 1, 0) * count
  return edited(samples(2 ** 20), b'elst', lambda _: struct.pack('>II', 0, count) + rows)


def fragment(count):
  """An mp4 with a fragment that tells of `count` frames and holds none."""
  extends = _box(b'mvex', _box(b'trex', struct.pack('>6I', 0, 1, 1, 1, 1, 0)))
  run = _box(b'tfhd', struct.pack('>2I', 0x20000, 1)) + _box(b'trun', struct.pack('>2I', 0, count))
  return edited(video(), b'moov', lambda x: x + extends) + _box(b'moof', _box(
      b'mfhd', struct.pack('>2I', 0, 1)) + _box(b'traf', run))


def compressed(size):
  """A QuickTime file whose index of `size` bytes is compressed a thousandfold."""
  index = struct.pack('>I', size) + zlib.compress(bytes(size), 9)
  return _box(b'ftyp', b'qt  \0\0\0\0qt  ') + _box(b'moov', _box(
      b'cmov', _box(b'dcom', b'zlib') + _box(b'cmvd', index)))


def elsewhere(url):
  """A QuickTime file whose pictures lie at another address."""
  entry = struct.pack('>I4sI', 12 + len(url) + 1, b'url ', 0) + url.encode() + b'\0'
  return edited(video(), b'dref', lambda _: struct.pack('>II', 0, 1) + entry)


def referring(url):
  """A QuickTime reference movie: nothing but another address."""
  address = struct.pack('>I4sI', 0, b'url ', len(url) + 1) + url.encode() + b'\0'
  return _box(b'ftyp', b'qt  \0\0\0\0qt  ') + _box(b'moov', _box(b'rmra', _box(b'rmda', _box(
      b'rdrf', address))))


def nested(depth):
  """Boxes in boxes in boxes."""
  inside = b''
  for _ in range(depth):
    inside = _box(b'moov', inside)
  return _box(b'ftyp', b'isom\0\0\0\0') + inside


def picture(form):
  """One picture, PNG or JPEG."""
  file = io.BytesIO()
  with av.open(file, 'w', format='image2pipe') as out:
    stream = out.add_stream(form, rate=1)
    stream.height, stream.width = 72, 96
    stream.pix_fmt = 'yuvj420p' if form == 'mjpeg' else 'rgb24'
    out.mux(stream.encode(av.VideoFrame(96, 72, 'rgb24').reformat(format=stream.pix_fmt)))
    out.mux(stream.encode())
  return file.getvalue()


def of(writer):
  """A function of (path, url) from one of `damage` of a path."""
  return lambda path, url: writer(path)


def raw(make, *args, **fields):
  """A function of (path, url) that writes the bytes make(*args)."""
  return lambda path, url: path.write_bytes(make(*args, **fields))


def cut(start, stop, **fields):
  """A function of (path, url) that writes a share of a video."""
  def write(path, url):
    del url
    data = video(**fields)
    path.write_bytes(data[int(start * len(data)):int(stop * len(data))])
  return write


def text(words):
  """A function of (path, url) that writes words in which URL stands for an address."""
  return lambda path, url: path.write_text(words.replace('URL', url))


HLS = '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nURL/a.ts\n#EXT-X-ENDLIST\n'
KEYED = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="URL/key"\n#EXTINF:9,\na_good.ts\n#EXT-X-ENDLIST\n'
MASTER = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nURL/index.m3u8\n'
LOCAL = '#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n'
CONCAT = "ffconcat version 1.0\nfile 'URL/a.mp4'\n"
CONCAT_LOCAL = 'ffconcat version 1.0\nfile a_good.mp4\n'
SDP = ('v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:URL\n'
       'm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n')
DASH = ('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        '<BaseURL>URL/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n')
ASX = '<asx version="3.0"><entry><ref href="URL/a.wmv"/></entry></asx>\n'
REF = '[Reference]\nRef1=URL/a.asf\n'

# file: (function of (path, address) that writes it, what `container.probe` says of it: a reason, or
# (width, height, frames) where it is legal)
FILES = {
    'zero_bytes.mp4': (text(''), 'empty'),
    'one_byte.mp4': (text('x'), 'not_a_video'),
    'words.mp4': (of(damage.words), 'not_a_video'),
    'zeros.mp4': (raw(bytes, 2 ** 20), 'not_a_video'),
    'noise.mp4': (raw(np.random.default_rng(0).bytes, 2 ** 20), 'not_a_video'),
    'png.mp4': (raw(picture, 'png'), 'not_a_video'),
    'jpeg.mp4': (raw(picture, 'mjpeg'), 'not_a_video'),
    'packed.mp4': (raw(zlib.compress, bytes(2 ** 24)), 'not_a_video'),
    'hls.mp4': (text(HLS), 'not_a_video'),
    'hls.m3u8': (text(HLS), 'not_a_video'),
    'hls_master.mp4': (text(MASTER), 'not_a_video'),
    'hls_key.mp4': (text(KEYED), 'not_a_video'),
    'hls_local.mp4': (text(LOCAL), 'not_a_video'),
    'concat.mp4': (text(CONCAT), 'not_a_video'),
    'concat_local.mp4': (text(CONCAT_LOCAL), 'not_a_video'),
    'stream.sdp': (text(SDP), 'not_a_video'),
    'sdp.mp4': (text(SDP), 'not_a_video'),
    'dash.mpd': (text(DASH), 'not_a_video'),
    'dash.mp4': (text(DASH), 'not_a_video'),
    'asx.wmv': (text(ASX), 'not_a_video'),
    'reference.wmv': (text(REF), 'not_a_video'),
    'elsewhere.mov': (lambda path, url: path.write_bytes(elsewhere(url)), (96, 72, COUNT)),
    'referring.mov': (lambda path, url: path.write_bytes(referring(url)), 'no_video_stream'),
    'no_index.mp4': (of(damage.without_index), 'truncated'),
    'cut_short.mp4': (of(damage.cut_short), 'truncated'),
    'cut.webm': (cut(0., 0.95, codec='libvpx-vp9', form='webm'), 'truncated'),
    'cut.mkv': (cut(0., 0.02, form='matroska'), 'truncated'),
    'head_alone.mp4': (cut(0., 0.001), 'truncated'),
    'tail_alone.mp4': (cut(0.5, 1.), 'not_a_video'),
    'nested.mp4': (raw(nested, 2000), 'truncated'),
    'corrupt.mp4': (of(damage.corrupt), (96, 72, COUNT)),
    'sound.m4a': (of(damage.sound), 'no_video_stream'),
    'cover.m4a': (of(damage.cover_art), 'no_video_stream'),
    'bomb_8192.mp4': (raw(video, 8192, 8192, 4), 'too_large'),
    'bomb_4096.mp4': (raw(video, 4096, 4096, 24), (4096, 4096, 24)),
    'bomb_8k.mp4': (of(damage.huge), (7680, 4320, 2)),
    'bomb_samples.mp4': (raw(samples, 2 ** 26), 'too_large'),
    'bomb_edits.mp4': (raw(edits, 100), 'too_large'),
    'bomb_fragment.mp4': (raw(fragment, 2 ** 26), 'too_large'),
    'bomb_index.mov': (raw(compressed, 2 ** 28), 'not_a_video'),
    'bomb_stretched.mp4': (raw(stretched, 60000), 'too_large'),
    'raw.h264': (of(damage.raw), 'not_a_video'),
    'variable.mp4': (of(damage.variable_rate), (96, 72, COUNT)),
    'turned.mp4': (of(damage.turned), (72, 96, COUNT)),
    'ten_bits.mp4': (of(damage.hdr), (96, 72, COUNT)),
    'odd.mp4': (of(damage.odd), (97, 73, COUNT)),
    'one_frame.mp4': (of(damage.one_frame), (96, 72, 1)),
    'far.mkv': (raw(video, form='matroska', pts=[0, 10, 2 ** 40]), (96, 72, 3)),
    'tiny.mp4': (raw(video, 2, 2), (2, 2, COUNT)),
    'thin.mp4': (raw(video, 2, 8192), (8192, 2, COUNT)),
    'resized.ts': (of(damage.resized), (96, 72, COUNT)),
    'resized.webm': (of(damage.resized_within), (96, 72, 2 * COUNT)),
    'interlaced.ts': (of(damage.interlaced), (128, 72, COUNT)),
    'edited.mp4': (of(damage.edited), (96, 72, 48)),
    'moving.gif': (of(damage.gif), 'not_a_video'),
    'windows.wmv': (of(damage.windows), (96, 72, COUNT)),
}


def write(folder, url):
  """Writes FILES into a folder; `url` is the address that those which name one name."""
  for name, (writer, _) in FILES.items():
    writer(pathlib.Path(folder, name), url)
