"""Protocols, and the clips of one side of a measurement, read a few at a time."""

import functools
import pathlib
import runpy

import numpy as np

from svdjax.core.errors import BadInput
from svdjax.inputs import folder as folders

_BATCH = 4


def protocol_of(path):
  """The config of a protocol file.

  Raises:
    BadInput: no such file, or it defines no protocol.
  """
  if not pathlib.Path(path).is_file():
    raise BadInput(f'--protocol {path} is not a file: name one of experiments/protocols')
  config = runpy.run_path(str(path)).get('get_config', dict)()
  if 'figures' not in config or config.window not in folders.WINDOWS:
    raise BadInput(f'--protocol {path} is no protocol: name one of experiments/protocols')
  return config


def elevations(folder):
  """{name of a clip: degrees} of elevations.csv in a folder; {} without one.

  Raises:
    BadInput: as folders.told, or an elevation is no number of degrees from -90 to 90.
  """
  found = {}
  for name, text in folders.told(folder, 'elevation').items():
    try:
      found[name] = float(text)
    except (TypeError, ValueError):
      found[name] = float('nan')
    if not -90 <= found[name] <= 90:
      raise BadInput(f'{pathlib.Path(folder) / "elevations.csv"} gives {name} the elevation '
                     f'"{text}": use degrees above the horizon, -90 to 90')
  return found


class Source:
  """The clips of one side of a protocol.

  Args:
    folder: of clips.
    side: 'made' or 'real'.
    config: of the protocol.

  Attributes:
    clips: {name: path} that are used.
    failed: {name: why} of those that could not be read so far.
  """

  def __init__(self, folder, side, config):
    self.folder, self.side, self.config, self.failed = folder, side, config, {}
    every = folders.find(folder, config.files if side == 'real' else '**/*')
    names, count = list(every), config.samples or len(every)
    if len(names) > count:
      chosen = np.random.default_rng(config.seed).permutation(len(names))[:count]
      names = [names[i] for i in sorted(chosen)]
    self.clips = {n: every[n] for n in names}
    self.size, self.fps = None, float('nan')
    self._captions = folders.told(folder, 'caption') if config.caption == 'csv' else {}

  def read(self, name):
    """One clip uint8 [t h w 3], or None if it cannot be used."""
    c = self.config
    try:
      clip, fps = folders.read(self.clips[name], c.frames, c.fps, c.stride, c.window, c.seed)
      clip = folders.fit(clip, c.resize[self.side], c.crop)
      if self.size and clip.shape[1:3] != self.size:
        raise BadInput(f'{self.clips[name]} is of {clip.shape[1]}x{clip.shape[2]} where the first '
                       f'clip is of {self.size[0]}x{self.size[1]}')
    except BadInput as error:
      self.failed[name] = str(error)
      return None
    self.size, self.fps = clip.shape[1:3], fps if self.size is None else self.fps
    return clip

  def caption(self, name):
    """The text a clip is of, or None."""
    if self.config.caption == 'folder':
      return pathlib.PurePosixPath(name).parent.name or None
    return self._captions.get(name)

  @functools.cached_property
  def _elevations(self):
    return elevations(self.folder)

  def elevation(self, name):
    """Degrees of the camera above the object of a clip, or None where `elevations` has none.

    Raises:
      BadInput: as `elevations`.
    """
    return self._elevations.get(name)

  def batches(self, bar):
    """Yields (names, clips uint8 [n t h w 3]); `bar` is called with the number of clips seen."""
    names, clips = [], []
    for i, name in enumerate(self.clips):
      clip = self.read(name)
      if clip is not None:
        names.append(name)
        clips.append(clip)
      if len(clips) == _BATCH or clips and i == len(self.clips) - 1:
        yield names, np.stack(clips)
        names, clips = [], []
      bar(i + 1)
