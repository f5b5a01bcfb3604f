"""Flat parameter dicts on disk, read whole or in groups."""

import ml_dtypes
import numpy as np
import pytest

from svdjax.core import saved

RNG = np.random.default_rng(0)
PARAMS = {f'unet/{i}/kernel': RNG.standard_normal((3, 4)).astype(ml_dtypes.bfloat16)
          for i in range(4)} | {'vae/bias': RNG.standard_normal(5, np.float32)}
FROZEN = {'clip/layers/kernel': RNG.standard_normal((2, 3), np.float32)}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  path = tmp_path_factory.mktemp('saved')
  for name, params in (('frozen', FROZEN), ('ema', PARAMS)):
    saved.save_params(path / name, params)
  return [path / 'frozen', path / 'ema']


def test_all_at_once(folders):
  found = saved.load_params(folders[1])
  assert found.keys() == PARAMS.keys()
  for name, x in PARAMS.items():
    assert found[name].dtype == x.dtype and found[name].tobytes() == x.tobytes()


def test_one_by_one(folders):
  found = saved.Saved(folders)
  assert found.specs == {n: (x.shape, x.dtype) for n, x in (FROZEN | PARAMS).items()}
  for name, x in (PARAMS | FROZEN).items():
    assert found.read(name).tobytes() == x.tobytes()
  np.testing.assert_array_equal(found.row('clip/layers/kernel', 1), FROZEN['clip/layers/kernel'][1])


def test_names_of_one_network(folders):
  assert list(saved.Saved(folders, 'vae/').specs) == ['vae/bias']


def test_one_group_is_held(folders, monkeypatch):
  """Groups of two kernels of 24 bytes, and each disk access reads one of them."""
  monkeypatch.setattr(saved, 'GROUP', 48)
  read, restore = [], saved._restore
  monkeypatch.setattr(saved, '_restore', lambda d, names: read.append(names) or restore(d, names))
  found = saved.Saved(folders, 'unet/')
  for name in found.specs:
    found.read(name)
    found.row(name, 0)
  assert read == [['unet/0/kernel', 'unet/1/kernel'], ['unet/2/kernel', 'unet/3/kernel']]
