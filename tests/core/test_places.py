"""Looking at a place leaves no trace."""

import pytest

from svdjax.core import places


def test_folders_that_were_made_are_gone_again(tmp_path):
  (tmp_path / 'old').mkdir()
  with places.unmade(tmp_path / 'old' / 'new' / 'newer'):
    (tmp_path / 'old' / 'new' / 'newer').mkdir(parents=True)
  assert [p.name for p in tmp_path.rglob('*')] == ['old']


def test_what_was_there_or_is_used_stays(tmp_path):
  with places.unmade(tmp_path / 'new' / 'newer'):
    (tmp_path / 'new' / 'newer').mkdir(parents=True)
    (tmp_path / 'new' / 'file').touch()
  assert sorted(p.name for p in tmp_path.rglob('*')) == ['file', 'new']
  with places.unmade(tmp_path):
    pass
  assert tmp_path.exists()


def test_a_refusal_passes_and_cleans_up(tmp_path):
  with pytest.raises(OSError), places.unmade(tmp_path / 'new'):
    (tmp_path / 'new').mkdir()
    raise OSError
  assert not list(tmp_path.iterdir())
