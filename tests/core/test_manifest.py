"""No change of a file goes unseen."""

import pytest

from svdjax.core import manifest


@pytest.fixture
def folder(tmp_path):
  for name, content in (('params/d/a', b'abc' * 50), ('params/meta', b'{}'), ('ema/d/b', b'xyz')):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
  manifest.write(tmp_path)
  return tmp_path


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


DAMAGE = {
    'flip': (flip, 'is not what was written'),
    'truncate': (lambda p: p.write_bytes(p.read_bytes()[:-1]), 'bytes in place of'),
    'zero': (lambda p: p.write_bytes(bytes(p.stat().st_size)), 'is not what was written'),
    'delete': (lambda p: p.unlink(), 'is missing')}


def test_a_folder_as_it_was_written_has_no_fault(folder):
  assert manifest.fault(folder) is None and manifest.fault(folder, 'params/') is None


@pytest.mark.parametrize('kind', DAMAGE)
@pytest.mark.parametrize('name', ['params/d/a', 'params/meta', 'ema/d/b'])
def test_damage_is_named_with_its_file(folder, kind, name):
  damage, words = DAMAGE[kind]
  damage(folder / name)
  assert name in manifest.fault(folder) and words in manifest.fault(folder)
  other = 'ema/' if name.startswith('params') else 'params/'
  assert manifest.fault(folder, other) is None  # of which nothing is read


@pytest.mark.parametrize('kind', ['truncate', 'zero', 'delete'])
def test_a_damaged_manifest_is_a_fault(folder, kind):
  DAMAGE[kind][0](folder / manifest.NAME)
  assert manifest.NAME in manifest.fault(folder)


def test_files_that_were_not_written_are_a_fault(folder):
  (folder / 'ema' / 'more').touch()
  assert 'ema/more does not belong' in manifest.fault(folder)


def test_an_item_that_the_manifest_lacks_is_a_fault(folder):
  assert 'names no file of opt/' in manifest.fault(folder, 'opt/')


def test_the_latest_good_folder_is_found(folder, tmp_path):
  folders = {3: folder, 7: tmp_path / 'none', 9: tmp_path / 'nothing'}
  step, damaged = manifest.latest_good(folders)
  assert step == 3 and damaged.keys() == {7, 9}
  assert manifest.latest_good({7: tmp_path / 'none'})[0] is None
