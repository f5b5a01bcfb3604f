"""Makes the clips of a protocol with a checkpoint, one for each real clip, for svdjax.measure.

    python -m svdjax.produce --checkpoint DIR --real DIR --made DIR
        [--protocol experiments/protocols/NAME.py] [--batch 4] [options of svdjax.sample]

A clip is made from the caption of the real one or from its first frame, as the protocol says; a
checkpoint that is told the camera's elevation takes it from elevations.csv beside the real clips
(columns file and elevation, in degrees) where --elevation does not give one to all. The same
command again goes on where it ended: clips that are there stay, and the others are those of an
uninterrupted run. Size, frames, fps and guidance are the protocol's where no option says otherwise.
"""

import argparse
import copy
import json
import pathlib
import sys
import tempfile

import numpy as np

from svdjax import sample, sampling
from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command
from svdjax.core.progress import Progress
from svdjax.inputs import export, folder as folders
from svdjax.metrics.source import Source, protocol_of
from svdjax.request import inputs_of, is_orbit


def arguments(argv):
  """(options of this command, options of svdjax.sample)."""
  parser = argparse.ArgumentParser(prog='python -m svdjax.produce', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter,
                                   allow_abbrev=False)
  add = parser.add_argument
  add('--checkpoint', required=True, help='workdir of a trained stage, or converted checkpoint')
  add('--real', required=True, help='folder of real clips')
  add('--made', required=True, help='folder to write to')
  add('--protocol', default='experiments/protocols/clips.py', help='file of a protocol')
  add('--batch', type=int, default=4, help='clips made at once')
  own, rest = parser.parse_known_args(argv)
  if own.batch < 1:
    raise BadInput(f'--batch must be at least 1, not {own.batch}')
  given = sample.arguments(['--checkpoint', own.checkpoint, '--out', f'{own.made}/clip.mp4', *rest])
  for name in ('image', 'prompt', 'interpolate', 'length'):
    if getattr(given, name) is not None:
      raise BadInput(f'--{name} is not for svdjax.produce: the real clips say what is made')
  if given.samples != 1:
    raise BadInput('--samples is not for svdjax.produce, which makes one clip for each real one')
  return own, given


def with_protocol(given, protocol):
  """The options of svdjax.sample with the protocol's values where none was given."""
  given = copy.copy(given)
  given.frames = given.frames or protocol.frames
  given.fps = given.fps or protocol.fps or None
  given.height = given.height or protocol.made.height or None
  given.width = given.width or protocol.made.width or None
  if protocol.made.guidance and not given.guidance:
    given.guidance = [protocol.made.guidance]
  if protocol.made.prompt == 'image':
    given.image = ['first frame']
  else:
    given.prompt = ''
  return given


def asked(given, source, name, scalars):
  """The options of svdjax.sample for one real clip, but for its first frame, which is not read.

  Args:
    given: options for all clips.
    source: the Source of real clips.
    name: of one.
    scalars: names of the numbers that the checkpoint is told.

  Raises:
    BadInput: the clip has no caption or no elevation where it needs one.
  """
  given, path = copy.copy(given), source.clips[name]
  if given.prompt is not None:
    given.prompt = source.caption(name)
    if given.prompt is None:
      raise BadInput(f'{path} has no caption: add it to captions.csv beside the clips')
  if not given.elevation and {'elevation', 'polar'} & set(scalars):
    degrees = source.elevation(name)
    given.elevation = None if degrees is None else [degrees]
  if not given.elevation and 'elevation' in scalars:
    raise BadInput(f'{path} has no elevation, and checkpoint {given.checkpoint} is conditioned on '
                   'that of the camera: add it to elevations.csv beside the clips (columns file '
                   'and elevation, in degrees), or pass --elevation if it is one for all')
  return given


class Maker:
  """A loaded checkpoint that makes clips of real ones.

  Args:
    own: of `arguments`.
    asked_for: {name: options of svdjax.sample} of each real clip.
    source: the Source of real clips.
    config: of sample.describe.
  """

  def __init__(self, own, asked_for, source, config):
    from svdjax import generate
    self._own, self._asked, self._source = own, asked_for, source
    given = next(iter(asked_for.values()))
    self._config, parts, self._params, self._tokenizer, self._step = sample.load(given, config)
    self._chosen = sampling.settings_of(given, self._config, self._params)
    self._generator = generate.build(self._config, parts, self._chosen)

  def _inputs(self, names):
    """Conditioning inputs of clips, the last repeated up to a full batch; and their fps."""
    every = []
    with tempfile.TemporaryDirectory() as folder:
      for name in names:
        options = copy.copy(self._asked[name])
        if options.image:
          options.image = [pathlib.Path(folder) / 'first.png']
          export.write_png(options.image[0], folders.read(self._source.clips[name], 1)[0][0])
        inputs, fps = inputs_of(options, self._config, self._chosen, self._tokenizer)
        every.append(inputs)
    every += [every[-1]] * (self._own.batch - len(every))
    return {n: np.concatenate([i[n] for i in every]) for n in every[0]}, fps

  def make(self, names, first):
    """Makes a batch and writes those that are not there; `first`: number of its first clip."""
    from svdjax import generate
    from svdjax.core.rng import key_of
    inputs, fps = self._inputs(names)
    seed = self._asked[names[0]].seed
    videos = np.asarray(generate.run(self._generator, self._params, inputs,
                                     key_of(seed, 'produce', first)))
    if is_orbit(self._config):  # its last view is the given one, with which real clips begin
      videos = np.roll(videos, 1, axis=1)
    told = {'checkpoint': str(self._own.checkpoint), 'step': self._step, 'seed': seed,
            'protocol': str(self._own.protocol), **vars(self._chosen)}
    for name, video in zip(names, videos):
      path = place(self._own.made, name)
      if not path.exists():
        about = told | {'clip': name, 'elevation': self._asked[name].elevation}
        export.write_mp4(path, video, fps, {'comment': json.dumps(about)})


def place(folder, name):
  """Where a made clip lies."""
  return pathlib.Path(folder) / f'{name}.mp4'


def main(argv=None):
  """Makes what is missing."""
  platform.configure()
  from svdjax import checkpoint
  own, given = arguments(argv)
  protocol = protocol_of(own.protocol)
  given = with_protocol(given, protocol)
  sample.check(given)
  source = Source(own.real, 'real', protocol)
  names = list(source.clips)
  batches = [(i, names[i:i + own.batch]) for i in range(0, len(names), own.batch)]
  missing = [(i, b) for i, b in batches if not all(place(own.made, n).exists() for n in b)]
  if not missing:
    print(f'all {len(names)} clips are in {own.made}', file=sys.stderr)
    return
  told = checkpoint.load_config(own.checkpoint)
  scalars = told.conditioning.scalars if 'conditioning' in told else ()  # CLIP has none
  each = {n: asked(given, source, n, scalars) for n in names}
  config, _ = sample.describe(each[names[0]])
  maker = Maker(own, each, source, config)
  with Progress(len(batches), len(batches) - len(missing), 'making clips') as bar:
    for done, (first, batch) in enumerate(missing, len(batches) - len(missing) + 1):
      maker.make(batch, first)
      bar.update(done)


if __name__ == '__main__':
  run_command(main)
