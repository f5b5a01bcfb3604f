"""What --input may name, and what is said of it where it names nothing."""

import pytest

from data.curation import manifest
from svdjax.core.errors import BadInput


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
  for name in ('my[1].mp4', 'my1.mp4'):
    (tmp_path / name).touch()
  found = manifest.find(str(tmp_path / 'my[1].mp4'), tmp_path / 'out')
  assert [s.uri for s in found] == ['my[1].mp4']
  found = manifest.find(str(tmp_path / 'my[0-9].mp4'), tmp_path / 'out')
  assert [s.uri for s in found] == ['my1.mp4']


@pytest.mark.parametrize('name', ['gone', 'gone.mp4', 'gone.csv', 'gone.jsonl'])
def test_what_is_not_there_does_not_exist(name, tmp_path):
  with pytest.raises(BadInput, match=f'{name} does not exist'):
    manifest.find(str(tmp_path / name), tmp_path / 'out')


def test_what_names_nothing_is_told(tmp_path):
  for given in (tmp_path, tmp_path / '*.mp4'):
    with pytest.raises(BadInput, match='names no videos'):
      manifest.find(str(given), tmp_path / 'out')


@pytest.mark.parametrize('lines', ['3', '"a.mp4"', '{"file": 3}', '{"file": ""}', '{"name": "a"}'])
def test_lines_that_name_no_file_are_refused(lines, tmp_path):
  (tmp_path / 'table.jsonl').write_text('{"file": "a.mp4"}\n' + lines)
  with pytest.raises(BadInput, match='without a "file"'):
    manifest.find(str(tmp_path / 'table.jsonl'), tmp_path / 'out')


def test_lines_that_are_no_json_are_refused(tmp_path):
  (tmp_path / 'table.jsonl').write_text('{"file"')
  with pytest.raises(BadInput, match='cannot be read as a table'):
    manifest.find(str(tmp_path / 'table.jsonl'), tmp_path / 'out')
