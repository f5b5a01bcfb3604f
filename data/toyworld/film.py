"""Video files of every sort that a camera or a converter leaves behind."""

import fractions

import av
import numpy as np

# What an encoder of each sort is asked for: deterministic, and with the trait that is to be had.
SORTS = {
    'h264': ('libx264', 'mp4', {'crf': '20', 'preset': 'veryfast', 'g': '48', 'bf': '3',
                                'x264-params': 'mbtree=0'}),
    'hevc_open_gop': ('libx265', 'mp4', {
        'preset': 'ultrafast',
        'x265-params': 'open-gop=1:keyint=24:min-keyint=24:scenecut=0:bframes=4:log-level=none'}),
    'h264_open_gop': ('libx264', 'matroska', {
        'crf': '20', 'preset': 'veryfast', 'g': '24', 'bf': '3',
        'x264-params': 'open-gop=1:scenecut=0:mbtree=0'}),
    'vp9': ('libvpx-vp9', 'webm', {'deadline': 'realtime', 'cpu-used': '8', 'g': '30',
                                   'b': '1000000'}),
    'av1': ('libsvtav1', 'mp4', {'preset': '12', 'g': '30', 'svtav1-params': 'lp=1'}),
    'mpeg2': ('mpeg2video', 'mpegts', {'g': '12', 'bf': '2', 'b': '3000000'}),
}


def write(path, frames, fps, sort='h264', pts=None, rotation=0, options=None):
  """Encodes frames.

  Args:
    path: of the file.
    frames: uint8 [t h w 3] RGB of even size.
    fps: frames a second.
    sort: one of SORTS.
    pts: [t] times in ms, for a variable rate; None for an even one.
    rotation: degrees that players are told to turn the picture by, counter-clockwise.
    options: more options of the encoder.
  """
  with open(path, 'wb') as file:
    write_to(file, frames, fps, sort, pts, rotation, options)


def write_to(file, frames, fps, sort='h264', pts=None, rotation=0, options=None):
  """`write` to an open binary file."""
  codec, form, defaults = SORTS[sort]
  with av.open(file, 'w', format=form) as container:
    stream = container.add_stream(codec, rate=fps, options=defaults | (options or {}))
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    stream.codec_context.thread_count = 1
    timebase = fractions.Fraction(1, fps) if pts is None else fractions.Fraction(1, 1000)
    stream.codec_context.time_base = timebase
    if rotation:
      stream.set_display_rotation(rotation)
    for i, frame in enumerate(frames):
      picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format='rgb24')
      picture.time_base, picture.pts = timebase, i if pts is None else int(pts[i])
      container.mux(stream.encode(picture))
    container.mux(stream.encode())
