"""Parts of a clip: what goes in comes out, and parts hold the frames and pixels they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core import mesh, split
from svdjax.core.errors import BadInput

MESHES = [(1, 1, 4), (2, 2, 2), (4, 2, 1), (1, 2, 4)]


def on(sizes, function, *args):
  with mesh.use(dict(zip(mesh.AXES, sizes))):
    return jax.jit(function)(*args)


def clips():
  return jnp.arange(4 * 4 * 8 * 3, dtype=jnp.float32).reshape(4, 4, 8, 3)


@pytest.mark.parametrize('sizes', MESHES)
def test_frames_and_pixels_there_and_back(sizes):
  there_and_back = lambda x: split.whole(split.to_frames(split.to_pixels(split.frames(x))))
  np.testing.assert_array_equal(on(sizes, there_and_back, clips()), clips())


@pytest.mark.parametrize('sizes', MESHES)
def test_a_part_in_pixels_has_all_frames_of_its_clip(sizes):
  """What is summed over time, and what belongs to a clip, meet on the right clip."""
  def function(x, offset):
    pixels = split.to_pixels(split.frames(x))
    summed = pixels.sum(1, keepdims=True) + split.each(offset)[:, None, None, None]
    return split.whole(split.to_frames(jnp.broadcast_to(summed, pixels.shape)))

  offset = jnp.arange(4.) * 1e4
  expected = clips().sum(1, keepdims=True) + offset[:, None, None, None]
  np.testing.assert_array_equal(on(sizes, function, clips(), offset),
                                np.broadcast_to(expected, clips().shape))


@pytest.mark.parametrize('sizes', MESHES)
def test_means_over_parts_are_means_over_clips(sizes):
  def function(x):
    pixels = split.to_pixels(split.frames(x))
    mean = split.mean(pixels.mean((1, 2), keepdims=True))
    return split.whole(split.to_frames(jnp.broadcast_to(mean, pixels.shape)))

  expected = np.broadcast_to(clips().mean((1, 2), keepdims=True), clips().shape)
  np.testing.assert_allclose(on(sizes, function, clips()), expected, rtol=1e-6)


def test_clips_fewer_than_places_are_still_right():
  there_and_back = lambda x: split.whole(split.to_frames(split.to_pixels(split.frames(x))))
  np.testing.assert_array_equal(on((2, 2, 2), there_and_back, clips()[:3]), clips()[:3])


@pytest.mark.parametrize('shape, words', [((2, 3, 8, 3), '3 frames'), ((2, 4, 7, 3), '7 latents')])
def test_sizes_that_do_not_divide_are_refused(shape, words):
  with pytest.raises(BadInput, match=words):
    on((1, 1, 4), lambda x: split.to_pixels(split.frames(x)), jnp.zeros(shape))
