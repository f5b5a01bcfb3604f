"""I3D: its tensors, its input, and its answer beside PyTorch's on random weights."""

import importlib.util
import pathlib

import numpy as np
import pytest
from safetensors.numpy import save_file

from svdjax.core.errors import BadInput
from svdjax.metrics import i3d

pytestmark = pytest.mark.usefixtures('compiled')


def random_tensors():
  """{name: array} at a scale that keeps activations near 1."""
  rng, tensors = np.random.default_rng(0), {}
  for name, shape in i3d.shapes().items():
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
    tensors[name] = rng.standard_normal(shape).astype(np.float32) * np.float32(
        np.sqrt(2 / fan_in) if len(shape) > 1 else 0.1)
    if name.endswith(('running_var', 'bn.weight')):
      tensors[name] = 1 + np.abs(tensors[name])
  return tensors


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  """(path of a file, its tensors), integer buffers of PyTorch among them."""
  path, tensors = tmp_path_factory.mktemp('i3d') / 'i3d.safetensors', random_tensors()
  save_file(tensors | {'Conv3d_1a_7x7.bn.num_batches_tracked': np.array(7)}, path)
  return path, tensors


def test_the_network_has_the_size_of_the_released_one():
  sizes = {n: np.prod(s) for n, s in i3d.shapes().items() if 'running' not in n}
  assert sum(sizes.values()) == 12_697_264


def test_a_file_is_read_with_its_digest(weights):
  path, tensors = weights
  got = i3d.load(path)
  assert set(got.params) == set(tensors) and len(got.sha256) == 64
  np.testing.assert_array_equal(got.params['logits.conv3d.bias'], tensors['logits.conv3d.bias'])


def test_numpy_files_and_parallel_prefixes_are_read_too(weights, tmp_path):
  path, tensors = weights
  np.savez(tmp_path / 'i3d.npz', **{f'module.{n}': x for n, x in tensors.items()})
  again = i3d.load(tmp_path / 'i3d.npz')
  np.testing.assert_array_equal(again.params['Mixed_3b.b0.conv3d.weight'],
                                tensors['Mixed_3b.b0.conv3d.weight'])
  assert again.sha256 != i3d.load(path).sha256


def test_what_is_no_file_of_the_network(weights, tmp_path):
  _, tensors = weights
  save_file({n: x for n, x in tensors.items() if n != 'logits.conv3d.bias'},
            tmp_path / 'cut.safetensors')
  np.savez(tmp_path / 'pickled.npz', x=np.array([{}], dtype=object))
  (tmp_path / 'i3d.pt').write_bytes(b'x')
  for name, message in (('cut.safetensors', 'logits.conv3d.bias is missing'),
                        ('pickled.npz', 'plain arrays'), ('i3d.pt', 'is a pickle'),
                        ('none.npz', 'no readable .npz')):
    with pytest.raises(BadInput, match=message):
      i3d.load(tmp_path / name)


def test_too_few_frames(weights):
  with pytest.raises(BadInput, match='8 frames are too short for I3D'):
    i3d.features(i3d.load(weights[0]).params, np.zeros((1, 8, 16, 16, 3), np.uint8))


def test_parity_with_pytorch(weights):
  """fp32 through 57 convolutions: relative 1e-4 of the spread."""
  torch = pytest.importorskip('torch')
  spec = importlib.util.spec_from_file_location(
      'torch_i3d', pathlib.Path(__file__).with_name('torch_i3d.py'))
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  reference = module.I3D().eval()
  path, tensors = weights
  reference.load_state_dict({n: torch.tensor(x) for n, x in tensors.items()}, strict=False)
  assert {n for n in reference.state_dict() if 'num_batches' not in n} == set(tensors)
  video = np.random.default_rng(1).uniform(-1, 1, (2, 9, 33, 32, 3)).astype(np.float32)
  with torch.no_grad():
    want = reference(torch.tensor(video).permute(0, 4, 1, 2, 3)).numpy()
  got = np.asarray(i3d.logits(i3d.load(path).params, video))
  np.testing.assert_allclose(got, want, atol=1e-4 * want.std())


def test_the_input_is_resized_as_pytorch_does():
  torch = pytest.importorskip('torch')
  video = np.random.default_rng(0).integers(0, 256, (1, 2, 60, 500, 3), np.uint8)
  got = np.asarray(i3d.preprocess(video, 56))
  x = torch.tensor(video).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
  want = torch.nn.functional.interpolate(x, size=(2, 56, 56), mode='trilinear')
  np.testing.assert_allclose(got, want.permute(0, 2, 3, 4, 1).numpy(), atol=2e-5)
