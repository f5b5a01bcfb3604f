"""Folders of views of objects to the same training shards.

  python -m data.views --input DIR --output DIR

Two layouts, told by what lies beside the pictures of an object:

  OBJECT/000.png … with OBJECT/transforms.json (NeRF: camera to world) or 000.npy … (world to
  camera, 3x4): views with pose. Only orbits are read, views at one elevation and evenly spaced
  around the object, z up; objects whose cameras stand anywhere on a sphere are skipped.

  …/images/000.jpg … alone (MVImgNet): casual footage without pose, in the order of the names.
  Portraits are turned to landscape, as in SVD appendix D.

Objects that cannot be used are named with their reason in OUTPUT/skipped.jsonl.
"""

import argparse
import hashlib
import json
import os
import pathlib
import tempfile

import numpy as np
import tqdm

from data import ingest, pose, shard
from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import export, image, motion, record, video

SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp')
FPS = 7  # views have no rate; this one shows them


def find_objects(root):
  """Sorted folders under `root`, relative to it, with two pictures or more.

  Raises:
    BadInput: `root` is no folder, or there are none.
  """
  if not pathlib.Path(root).is_dir():
    raise BadInput(f'input {root} is not a folder: name the folder that holds the objects')
  found = [os.path.relpath(folder, root) for folder, _, names in os.walk(root)
           if sum(n.lower().endswith(SUFFIXES) for n in names) > 1]
  if not found:
    raise BadInput(f'input {root} holds no folder with two pictures: expected OBJECT/000.png, '
                   f'OBJECT/001.png, … ({", ".join(SUFFIXES)})')
  return sorted(found)


def pictures(folder):
  """The sorted paths of the pictures of an object."""
  return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def load(paths, landscape):
  """Pictures over white, all of the size of the first: uint8 [t h w 3]."""
  frames = [image.load_image(p) for p in paths]
  if landscape and frames[0].shape[0] > frames[0].shape[1]:
    frames = [np.rot90(f) for f in frames]
  height, width = frames[0].shape[:2]
  return np.stack([video.resize_crop(np.ascontiguousarray(f), height, width) for f in frames])


def make(root, uri, staging):
  """One object as an ingest.Clip, its mp4 in `staging`.

  Raises:
    BadInput: a picture cannot be read, or its poses are no orbit.
  """
  folder = pathlib.Path(root, uri)
  paths = pictures(folder)
  cameras = pose.read(folder, paths)
  truth = ''
  if cameras is not None:
    order, facts = pose.orbit(cameras, folder)
    paths, truth = [paths[i] for i in order], json.dumps({'kind': 'orbit'} | facts)
  frames = load(paths, landscape=cameras is None)
  content = hashlib.blake2b(frames.tobytes() + truth.encode(), digest_size=16).hexdigest()
  file = pathlib.Path(staging, f'{content}.mp4')
  export.write_mp4(file, frames, FPS)
  height, width = (n + n % 2 for n in frames.shape[1:3])
  pairs = np.linspace(0, len(frames) - 2, min(3, len(frames) - 1)).astype(int)
  fields = {
      'clip_id': content, 'source_uri': uri, 'width': width, 'height': height,
      'num_frames': len(frames), 'pts': np.arange(len(frames), dtype=np.int64), 'timebase_num': 1,
      'timebase_den': FPS, 'fps': float(FPS), 't_start': 0., 't_end': len(frames) / FPS,
      'motion': float(np.mean([motion.motion_score(frames[i:i + 2], FPS) for i in pairs])),
      'truth': truth,
  }
  return ingest.Clip(file, content, fields)


def parse_args(argv):
  """Command line -> checked namespace.

  Raises:
    BadInput: a number is out of range, or the output holds shards already.
  """
  parser = argparse.ArgumentParser(prog='python -m data.views', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--input', required=True, help='folder of objects, searched with subfolders')
  parser.add_argument('--output', required=True, help='folder for the shards')
  parser.add_argument('--test-fraction', type=float, default=0.1, help='share for "test"')
  parser.add_argument('--num-shards', type=int, default=1, help='files a split')
  args = parser.parse_args(argv)
  if not 0 <= args.test_fraction < 1 or args.num_shards < 1:
    raise BadInput(f'--test-fraction {args.test_fraction} and --num-shards {args.num_shards} are '
                   'out of range: use [0, 1) and at least 1')
  if list(pathlib.Path(args.output).glob(f'{record.NAME}-*')):
    raise BadInput(f'output {args.output} holds shards already: choose an empty folder')
  export.check_writable(pathlib.Path(args.output, 'skipped.jsonl'))
  return args


def main(argv=None):
  """Runs the command line, see the module's docstring."""
  args = parse_args(argv)
  uris, clips, skipped = find_objects(args.input), [], []
  with tempfile.TemporaryDirectory(dir=args.output, prefix='.staging') as staging:
    for uri in tqdm.tqdm(uris, desc='objects', unit='object'):
      try:
        clips.append(make(args.input, uri, staging))
      except BadInput as error:
        skipped.append({'object': uri, 'message': str(error)})
        print(f'skipped {uri}: {error}')
    lines = ''.join(json.dumps(line) + '\n' for line in skipped)
    pathlib.Path(args.output, 'skipped.jsonl').write_text(lines, encoding='utf-8')
    if not clips:
      raise BadInput(f'none of the {len(uris)} objects in {args.input} can be used, the first: '
                     f'{skipped[0]["message"]}')
    counts = shard.write_shards(args.output, clips, dict.fromkeys(uris, ''), args.test_fraction,
                                args.num_shards)
  posed = sum(bool(clip.fields['truth']) for clip in clips)
  print(f'{len(clips)} objects, {posed} of them orbits with pose, of {len(uris)} folders: train '
        f'{counts["train"]}, test {counts["test"]}, in {args.output}')


if __name__ == '__main__':
  run_command(main)
