from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.models import clip_resize

SIDES = st.integers(4, 300)
few = settings(max_examples=25, deadline=None)


@few
@given(SIDES, SIDES)
def test_every_output_pixel_is_a_weighted_mean(n_in, n_out):
  matrix = clip_resize.resize_matrix(n_in, n_out)
  assert matrix.shape == (n_out, n_in) and matrix.dtype == np.float32
  np.testing.assert_allclose(matrix.sum(1), 1, atol=2e-6)


@few
@given(SIDES)
def test_a_side_of_the_right_length_is_left_alone(n):
  np.testing.assert_allclose(clip_resize.resize_matrix(n, n), np.eye(n), atol=1e-6)


@few
@given(SIDES, SIDES)
def test_mirroring_commutes_with_resizing(n_in, n_out):
  matrix = clip_resize.resize_matrix(n_in, n_out)
  np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-5)


@few
@given(st.integers(4, 40), st.integers(40, 80))
def test_enlarging_keeps_the_corner_pixels(n_in, n_out):
  matrix = clip_resize.resize_matrix(n_in, n_out)
  np.testing.assert_allclose(matrix[[0, -1]], np.eye(n_in)[[0, -1]], atol=1e-6)


def test_detail_finer_than_the_output_is_blurred_away():
  stripes = np.tile([-1., 1.], 512)
  # 3 % is what a Gaussian cut off at two deviations lets through.
  assert np.abs(clip_resize.resize_matrix(1024) @ stripes).max() < 0.04


def test_a_flat_image_becomes_its_normalised_colour():
  images = jnp.broadcast_to(jnp.array([-1., 0., 1.]), (2, 40, 70, 3))
  want = [-0.48145466 / 0.26862954, (0.5 - 0.4578275) / 0.26130258, (1 - 0.40821073) / 0.27577711]
  got = clip_resize.preprocess(images, 28)
  assert got.shape == (2, 28, 28, 3)
  np.testing.assert_allclose(got, np.broadcast_to(want, got.shape), atol=1e-5)


def test_rows_and_columns_are_not_exchanged():
  ramp = jnp.broadcast_to(jnp.linspace(-1, 1, 40).reshape(1, 40, 1, 1), (1, 40, 70, 3))
  got = clip_resize.preprocess(ramp, 28)
  assert (jnp.diff(got, axis=1) > 0).all()
  np.testing.assert_allclose(jnp.diff(got, axis=2), 0, atol=1e-5)


def test_output_keeps_the_dtype():
  images = jnp.zeros((1, 32, 32, 3), jnp.bfloat16)
  assert jax.eval_shape(lambda x: clip_resize.preprocess(x, 28), images).dtype == jnp.bfloat16


def torch_preprocess(images, size):
  """The same in torch's own operations: blur with reflecting borders, then bicubic."""
  torch = pytest.importorskip('torch')
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  for axis in (2, 3):
    sigma = max((x.shape[axis] / size - 1) / 2, 0.001)
    taps = int(max(4 * sigma, 3))
    taps += 1 - taps % 2
    i = torch.arange(taps, dtype=torch.float32) - taps // 2
    kernel = torch.exp(-i ** 2 / (2 * sigma ** 2))
    kernel = (kernel / kernel.sum()).reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
    p = taps // 2
    padded = torch.nn.functional.pad(x, (0, 0, p, p) if axis == 2 else (p, p, 0, 0), 'reflect')
    x = torch.nn.functional.conv2d(padded, kernel.repeat(3, 1, 1, 1), groups=3)
  x = torch.nn.functional.interpolate(x, (size, size), mode='bicubic', align_corners=True)
  mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).reshape(3, 1, 1)
  std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).reshape(3, 1, 1)
  return (((x + 1) / 2 - mean) / std).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize('height, width', [(576, 1024), (128, 160), (224, 225), (50, 700)])
def test_equals_torch(height, width):
  images = np.random.default_rng(0).uniform(-1, 1, (2, height, width, 3)).astype(np.float32)
  want = torch_preprocess(images, 224)
  # torch finds the source positions in fp32, which costs the digits between 1e-6 and 1e-4.
  np.testing.assert_allclose(clip_resize.preprocess(jnp.asarray(images), 224), want, atol=1e-4)
