"""A decoder that crashes or hangs costs its source, twice at most, and no other."""

import functools
import pathlib

import pyarrow.parquet
import pytest

from data.curation import engine
from data.toyworld import film, reel

ROOT = pathlib.Path(__file__).parents[3]
_DECODER = '''
import os, time
from data.curation import analysis
whole = analysis.analyse
def analyse(path, *rest):
  with open({log!r}, 'a') as file:
    file.write(os.path.basename(path) + '\\n')
  if path.endswith('crash.mp4'):
    os.abort()
  if path.endswith('hang.mp4'):
    time.sleep(1000)
  return whole(path, *rest)
analysis.analyse = analyse
'''


@pytest.fixture
def log(tmp_path, monkeypatch):
  """The file in which worker processes note each decode; their decoder fails on some names."""
  path, site = tmp_path / 'log', tmp_path / 'site'
  site.mkdir()
  (site / 'sitecustomize.py').write_text(_DECODER.format(log=str(path)))
  monkeypatch.setenv('PYTHONPATH', f'{site}:{ROOT}')
  monkeypatch.setattr(engine, 'make', functools.partial(engine.make, patience=6.0))
  return path


def test_a_crash_and_a_hang_have_their_codes(log, tmp_path, command):
  root, output = tmp_path / 'in', tmp_path / 'out'
  root.mkdir()
  for i, name in enumerate(('crash', 'good', 'hang', 'well')):
    film.write(root / f'{name}.mp4', reel.make([reel.Shot('pan', 2.2, i)], 72, 96, 12).frames, 12)
  command(root, output, '--preset', 'none', '--workers', '2')
  failed = pyarrow.parquet.read_table(output / 'tables' / 'failures.parquet').to_pylist()
  assert {f['uri']: (f['code'], f['retryable']) for f in failed} == {
      'crash.mp4': ('CRASH', False), 'hang.mp4': ('TIMEOUT', False)}
  clips = pyarrow.parquet.read_table(output / 'tables' / 'clips.parquet').to_pylist()
  assert {c['source_uri'] for c in clips} == {'good.mp4', 'well.mp4'}
  tried = sorted(log.read_text().split())
  assert tried == ['crash.mp4'] * 2 + ['good.mp4'] + ['hang.mp4'] * 2 + ['well.mp4']
  command(root, output, '--preset', 'none', '--workers', '2')
  assert sorted(log.read_text().split()) == tried
