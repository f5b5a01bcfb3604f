"""Safetensors files tensor by tensor."""

import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as st

from svdjax.core import weights
from svdjax.core.errors import BadInput

RNG = np.random.default_rng(0)
TENSORS = {'matrix': RNG.standard_normal((3, 4), np.float32),
           'half': RNG.standard_normal((2, 3, 2)).astype(np.float16),
           'brain': RNG.standard_normal((5, 2)).astype(ml_dtypes.bfloat16),
           'double': RNG.standard_normal(3), 'number': np.array(7, np.float32),
           'none': np.zeros((0, 4), np.float32), 'integers': np.arange(3)}


@pytest.fixture(scope='module')
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp('weights') / 'f.safetensors'
  st.save_file(TENSORS, path, {'told': 'something'})
  return path


def test_reads_what_the_library_wrote(file):
  found = weights.Weights([file])
  assert found.metadata == {'told': 'something'} and found.specs.keys() == TENSORS.keys()
  assert found.specs['integers'] is None
  for name, array in TENSORS.items():
    if name != 'integers':
      assert found.specs[name] == (array.shape, array.dtype)
      assert found.read(name).tobytes() == array.tobytes()


@pytest.mark.parametrize('name', ['matrix', 'half', 'brain', 'double'])
def test_reads_one_row(file, name):
  found = weights.Weights([file])
  for i, row in enumerate(TENSORS[name]):
    assert found.row(name, i).tobytes() == row.tobytes()
    assert found.row(name, i).shape == row.shape


def test_selects_under_other_names(file):
  chosen = weights.Weights([file]).select({'new': 'brain'})
  assert chosen.specs.keys() == {'new'}
  assert chosen.read('new').tobytes() == TENSORS['brain'].tobytes()


def test_joins_several_files(file, tmp_path):
  st.save_file({'more': np.ones(2, np.float32)}, tmp_path / 'g.safetensors')
  found = weights.Weights([file, tmp_path / 'g.safetensors'])
  np.testing.assert_array_equal(found.read('more'), np.ones(2))
  np.testing.assert_array_equal(found.read('matrix'), TENSORS['matrix'])


@pytest.mark.parametrize('spoil', [lambda data: data[:-1], lambda data: b'', lambda data: data[:40],
                                   lambda data: b'\xff' * 64])
def test_damage_is_refused(file, tmp_path, spoil):
  (tmp_path / 'f.safetensors').write_bytes(spoil(file.read_bytes()))
  with pytest.raises(BadInput, match='is truncated or no safetensors file'):
    weights.Weights([tmp_path / 'f.safetensors'])


def test_what_is_written_is_what_the_library_reads(tmp_path):
  kept = {n: x for n, x in TENSORS.items() if n != 'integers'}
  specs = {n: weights.Spec(x.shape, x.dtype) for n, x in kept.items()}
  weights.write(tmp_path / 'f.safetensors', specs, kept.items(), {'told': 'x'})
  for name, array in st.load_file(tmp_path / 'f.safetensors').items():
    assert array.tobytes() == kept[name].tobytes()
