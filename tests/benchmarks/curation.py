"""How fast curation is: real-time multiples a core, against PySceneDetect and on Beam; memory at 4K.

  python tests/benchmarks/curation.py [--seconds 300] [--only speed|memory]

Generates its footage. Times are CPU seconds of the process and its children, so that load of the
machine hardly matters; ratios compare runs of the same minute.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import av

from data.toyworld import film, reel

ROOT = pathlib.Path(__file__).parents[2]
FPS = 24


def make_footage(path, height, width, seconds):
  """Shots of 5 s, panned slowly: H.264 with B-frames; after 30 s the same again."""
  part = path.with_suffix('.part.mp4')
  _film(part, height, width, min(seconds, 30))
  with av.open(str(part)) as source, av.open(str(path), 'w') as container:
    stream = container.add_stream_from_template(source.streams.video[0])
    packets = [(p.pts, p.dts, bytes(p), p.is_keyframe) for p in source.demux(video=0) if p.size]
    step = round(min(seconds, 30) / source.streams.video[0].time_base)
    timebase = source.streams.video[0].time_base
    for i in range(max(1, seconds // 30)):
      for pts, dts, data, is_keyframe in packets:
        packet = av.Packet(data)
        packet.pts, packet.dts, packet.time_base = pts + i * step, dts + i * step, timebase
        packet.is_keyframe, packet.stream = is_keyframe, stream
        container.mux(packet)
  part.unlink()


def _film(path, height, width, seconds):
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('libx264', rate=FPS, options={'crf': '23', 'preset': 'veryfast'})
    stream.height, stream.width, stream.pix_fmt = height, width, 'yuv420p'
    for i in range(max(1, seconds // 5)):
      shot = reel.Shot('pan', 5, i, 0.03)
      for frame in reel.pan(shot, 5 * FPS, height, width, FPS):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
    container.mux(stream.encode())


def cpu_of(*command, **environment):
  """(CPU seconds, largest resident MB) of a Python command and its children."""
  script = ('import json, resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, '
            'stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); '
            'u = resource.getrusage(resource.RUSAGE_CHILDREN); '
            'print(json.dumps([u.ru_utime + u.ru_stime, u.ru_maxrss / 1024]))')
  out = subprocess.run([sys.executable, '-c', script, sys.executable, *map(str, command)],
                       check=True, capture_output=True, text=True, cwd=ROOT,
                       env=os.environ | {'OMP_NUM_THREADS': '1'} | environment)
  return json.loads(out.stdout)


def curate(source, output, *options):
  """CPU seconds and memory of one run of data.curate."""
  return cpu_of('-m', 'data.curate', '--input', source, '--output', output, '--preset', 'none',
                *options)


DECODE = ('import sys, av; c = av.open(sys.argv[1]); s = c.streams.video[0]; '
          's.codec_context.thread_count = 1; print(sum(1 for _ in c.decode(s)))')
DETECT = ('import sys, cv2; cv2.setNumThreads(1); import scenedetect as d\n'
          'for skip in (0, 2, 11):\n'
          '  m = d.SceneManager(); m.add_detector(d.ContentDetector())\n'
          '  m.detect_scenes(d.open_video(sys.argv[1], backend="pyav"), frame_skip=skip)')


def speed(folder, seconds):
  """Real-time multiples of decoding alone, the loop, Beam, and three passes of PySceneDetect."""
  source = folder / 'hd.mp4'
  make_footage(source, 720, 1280, seconds)
  empty = folder / 'tiny.mp4'
  film.write(empty, reel.make([reel.Shot('pan', 2.2, 1)], 48, 64, FPS).frames, FPS)
  engines = {'loop': ('--workers', '0'), 'beam': ('--engine', 'beam')}
  run = lambda name, file: lambda: curate(file, folder / f'{name}-{file.stem}', *engines[name])[0]
  print(f'720p{FPS} H.264, {seconds} s')
  found = {}
  for name, measured in (
      ('loop, start alone', run('loop', empty)), ('beam, start alone', run('beam', empty)),
      ('loop', run('loop', source)), ('beam', run('beam', source)),
      ('decode alone', lambda: cpu_of('-c', DECODE, source)[0]),
      ('PySceneDetect, 3 passes', lambda: cpu_of('-c', DETECT, source)[0])):
    try:
      cpu = found[name] = measured()
    except subprocess.CalledProcessError:
      print(f'  {name}: not installed')
      continue
    print(f'  {name:24s} {cpu:7.2f} CPU s' + (
        '' if 'start' in name else f' = {seconds / cpu:6.1f} x real time a core'), flush=True)
    if start := found.get(f'{name}, start alone'):
      print(f'  {"":24s} {seconds / (cpu - start):6.1f} x without the start')
  if 'beam' in found:
    work = {n: found[n] - found[f'{n}, start alone'] for n in engines}
    print(f'  beam / loop {found["beam"] / found["loop"]:.2f}, without their starts '
          f'{work["beam"] / work["loop"]:.2f}')


def memory(folder):
  """Largest resident set of a worker that curates ten seconds of 4K."""
  source = folder / 'uhd.mp4'
  make_footage(source, 2160, 3840, 10)
  cpu, megabytes = curate(source, folder / 'uhd', '--workers', '0')
  print(f'3840x2160 H.264, 10 s: {megabytes:.0f} MB, {10 / cpu:.2f} x real time a core')


def main():
  """Runs the command line."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--seconds', type=int, default=300)
  parser.add_argument('--only', choices=('speed', 'memory'))
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    if args.only != 'memory':
      speed(pathlib.Path(folder), args.seconds)
    if args.only != 'speed':
      memory(pathlib.Path(folder))


if __name__ == '__main__':
  main()
