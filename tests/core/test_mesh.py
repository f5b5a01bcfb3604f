"""Where arrays lie: meshes, the rule for parameters, rows of a batch."""

from hypothesis import given, strategies as st
import jax
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from svdjax.core import mesh
from svdjax.core.errors import BadInput


def sizes(data, fsdp, frame):
  return {'data': data, 'fsdp': fsdp, 'frame': frame}


def test_data_takes_the_devices_that_are_left():
  assert mesh.make(sizes(0, 2, 2)).shape == sizes(2, 2, 2)


def test_one_process_may_use_some_of_its_devices():
  assert mesh.make(sizes(1, 1, 2)).size == 2


@pytest.mark.parametrize('wrong, words', [
    (sizes(0, 3, 1), 'does not divide 8'), (sizes(4, 2, 2), 'needs 16 devices'),
    (sizes(0, 0, 1), 'at least 1')])
def test_sizes_that_do_not_fit_are_refused(wrong, words):
  with pytest.raises(BadInput, match=words):
    mesh.make(wrong)


@pytest.mark.parametrize('shape, expected', [
    ((3, 3, 320, 640), P(None, None, None, 'fsdp')), ((1280, 320), P('fsdp')),
    ((640, 640), P(None, 'fsdp')), ((1280,), P()), ((1023, 1025), P())])
def test_the_largest_axis_that_divides_is_split(shape, expected):
  assert mesh.spec(shape, 4) == expected


@given(st.lists(st.sampled_from([1, 3, 8, 64, 320, 1280]), max_size=4), st.sampled_from([1, 2, 8]))
def test_a_split_axis_always_divides(shape, fsdp):
  for size, axis in zip(shape, mesh.spec(shape, fsdp)):
    assert axis is None or size % fsdp == 0


def test_placed_arrays_are_split_and_unchanged():
  grid = mesh.make(sizes(2, 4, 1))
  tree = {'a': np.arange(512. * 256).reshape(512, 256), 'b': np.ones(3)}
  placed = mesh.place(tree, mesh.shardings(grid, tree))
  assert placed['a'].addressable_shards[0].data.shape == (128, 256)
  assert placed['b'].sharding.is_fully_replicated
  jax.tree.map(np.testing.assert_array_equal, placed, tree)


def test_a_batch_is_spread_in_order():
  grid = mesh.make(sizes(2, 2, 2))
  own = mesh.rows(grid, 8)
  video = np.arange(8 * 3).reshape(8, 3)
  batch = mesh.global_batch(grid, {'video': video[own]}, 8, own)
  assert own == list(range(8))
  assert batch['video'].addressable_shards[0].data.shape == (2, 3)
  np.testing.assert_array_equal(batch['video'], video)


def test_clips_that_cannot_be_spread_are_refused():
  with pytest.raises(BadInput, match='batch_size 6 is not divisible by .* = 4'):
    mesh.rows(mesh.make(sizes(2, 2, 2)), 6)


def test_without_a_mesh_layers_see_plain_arrays():
  x = jax.numpy.ones((4, 4))
  assert mesh.current() == sizes(1, 1, 1)
  assert mesh.constrain(x, 'data') is x and mesh.weight(x, x.dtype) is x
