"""What stands beside the clips of one side of a measurement."""

import pytest

from experiments.protocols import base
from svdjax.core.errors import BadInput
from svdjax.metrics import source


@pytest.fixture
def write(tmp_path):
  """write(text) -> the folder with this elevations.csv."""
  return lambda text: (tmp_path / 'elevations.csv').write_text(text) and tmp_path


def test_an_elevation_is_found_by_the_file_or_by_the_name_of_a_clip(tmp_path, write):
  for name in ('a.mp4', 'some/b.mp4', 'c.mp4'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  real = source.Source(write('file,elevation\na.mp4,12.5\nsome/b,-3\n'), 'real', base.get_base())
  assert {n: real.elevation(n) for n in real.clips} == {'a': 12.5, 'some/b': -3., 'c': None}


def test_without_a_file_there_are_no_elevations(tmp_path):
  assert source.elevations(tmp_path) == {}


@pytest.mark.parametrize('text, message', [
    ('file,height\na,1\n', 'not the columns "file" and "elevation": add them'),
    ('file,elevation\na,high\n', 'a the elevation "high": use degrees'),
    ('file,elevation\na\n', 'a the elevation "None": use degrees'),
    ('file,elevation\na,91\n', 'a the elevation "91": use degrees')])
def test_elevations_that_are_none(write, text, message):
  with pytest.raises(BadInput, match=message):
    source.elevations(write(text))
