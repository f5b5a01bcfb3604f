"""LPIPS: a distance, read from the package's tensors, and equal to the package's on random ones."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from svdjax.core.errors import BadInput
from svdjax.metrics import lpips

pytestmark = pytest.mark.usefixtures('compiled')


def write(path, name, tensors=None):
  """A file of random tensors, or of those given."""
  rng = np.random.default_rng(0)
  draw = lambda n, s: (np.abs if 'lin' in n else lambda x: x)(
      rng.standard_normal(s) * np.sqrt(2 / max(np.prod(s[1:]), 1))).astype(np.float32)
  save_file(tensors or {n: draw(n, s) for n, s in lpips.shapes(name).items()}, path)
  return path


def frames(n=2, side=64):
  return np.random.default_rng(1).integers(0, 256, (2, n, side, side, 3), np.uint8)


@pytest.fixture(scope='module')
def alex(tmp_path_factory):
  return lpips.load(write(tmp_path_factory.mktemp('lpips') / 'alex.safetensors', 'alex'))


def test_it_is_a_symmetric_distance(alex):
  name, tensors = alex
  a, b = frames()
  between = np.asarray(lpips.distance(tensors.params, name, a, b))
  assert between.shape == (2,) and (between > 0).all()
  np.testing.assert_allclose(lpips.distance(tensors.params, name, b, a), between, rtol=1e-5)
  np.testing.assert_array_equal(lpips.distance(tensors.params, name, a, a), [0, 0])


def test_the_network_is_told_by_its_tensors(tmp_path, alex):
  assert alex[0] == 'alex'
  tensors = {n: np.zeros(s, np.float32) for n, s in lpips.shapes('vgg').items()}
  assert lpips.load(write(tmp_path / 'vgg.safetensors', 'vgg', tensors))[0] == 'vgg'


def test_a_file_of_something_else(tmp_path):
  with pytest.raises(BadInput, match=r'is not the state_dict of lpips.LPIPS\(net="alex"\)'):
    lpips.load(write(tmp_path / 'x.safetensors', 'alex', {'a': np.zeros(3, np.float32)}))


@pytest.mark.parametrize('name', ['alex', 'vgg'])
def test_parity_with_the_package(tmp_path, name):
  """fp32 through 5 and 13 convolutions: relative 1e-4."""
  torch = pytest.importorskip('torch')
  package = pytest.importorskip('lpips', exc_type=ImportError)
  torch.manual_seed(0)
  reference = package.LPIPS(net=name, pretrained=False, pnet_rand=True, verbose=False).eval()
  tensors = {n: x.numpy().copy() for n, x in reference.state_dict().items()}
  found, loaded = lpips.load(write(tmp_path / 'x.safetensors', name, tensors))
  assert found == name
  a, b = frames()
  as_torch = lambda x: torch.tensor(x).permute(0, 3, 1, 2).float() / 127.5 - 1
  with torch.no_grad():
    want = reference(as_torch(a), as_torch(b)).numpy().reshape(-1)
  np.testing.assert_allclose(lpips.distance(loaded.params, name, a, b), want, rtol=1e-4)
