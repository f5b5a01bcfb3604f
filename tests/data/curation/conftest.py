"""A reel whose truth is known, and the clips that curation makes of its encodings."""

import pathlib
import types

from array_record.python import array_record_module
import av
import pytest

from data import curate
from data.curation import ledger, probe, analysis, source as sources
from data.curation.manifest import Source
from data.curation.settings import Settings
from data.toyworld import film, reel

FPS = 24
SUFFIX = {'mp4': '.mp4', 'webm': '.webm', 'matroska': '.mkv', 'mpegts': '.ts'}


@pytest.fixture(scope='session')
def shots():
  """Two pans, a still, a cross-fade, a fade through black, a page of text and a toy scene."""
  return reel.make([
      reel.Shot('pan', 3, 1), reel.Shot('pan', 3, 2, 0.2), reel.Shot('still', 4, 3),
      reel.Shot('pan', 5, 4, 0.15, 'fade', 1.5), reel.Shot('text', 4, 5, 0.02),
      reel.Shot('pan', 5, 6, 0.1, 'black', 2.0), reel.Shot('toy', 3, 7)], 108, 192, FPS)


@pytest.fixture(scope='session')
def filmed(shots, tmp_path_factory):
  """filmed(sort) -> path of the reel encoded so, see data.toyworld.film.SORTS."""
  folder, made = tmp_path_factory.mktemp('reels'), {}

  def make(sort):
    codec = film.SORTS[sort][0]
    try:
      av.Codec(codec, 'w')
    except ValueError:
      pytest.skip(f'this PyAV has no encoder {codec}')
    if sort not in made:
      made[sort] = folder / (sort + SUFFIX[film.SORTS[sort][1]])
      film.write(made[sort], shots.frames, FPS, sort)
    return made[sort]

  return make


@pytest.fixture
def curated(tmp_path):
  """curated(path, **settings) -> the row of one source in the ledger, with `file(clip)`."""

  def run(path, **settings):
    settings = Settings(**settings)
    places = ledger.Places(tmp_path / 'curated', settings.digest())
    source = Source(pathlib.Path(path).name, str(path))
    source_id = sources.identify(places, source)['source_id']
    row = sources.curate(places, settings, (source, source_id))
    file = lambda clip: places.clips(source_id) / f'{clip["clip_id"]}.mp4'
    return types.SimpleNamespace(**row, file=file)

  return run


@pytest.fixture
def analysed():
  """analysed(path, **settings) -> (Facts, Times, Analysis) of a file."""

  def run(path, **settings):
    facts, times = probe.probe(path)
    return facts, times, analysis.analyse(path, facts, times, Settings(**settings))

  return run


@pytest.fixture
def command():
  """command(input, output, *options): runs data.curate in this process."""

  def run(given, output, *options):
    given = [] if given is None else ['--input', str(given)]
    curate.main([*given, '--output', str(output), '--workers', '0', *options])

  return run


@pytest.fixture
def records():
  """records(output, split) -> decoded records of a split, with all fields of curation."""
  from data.curation import schema
  from svdjax.inputs import record

  def read(output, split='train'):
    found = []
    for path in record.shard_paths(output, split):
      for data in array_record_module.ArrayRecordReader(path).read_all():
        found.append(schema.features().deserialize_example_np(data) | record.decode(data))
    return found

  return read
