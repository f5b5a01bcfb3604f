"""How pictures are prepared for the CLIP of measures."""

import numpy as np
import pytest

from svdjax.metrics import towers
from svdjax.models import clip_resize

# Grey levels of red and blue that CLIPImageProcessor of transformers 5.23 makes of `picture()`,
# with shortest_edge and crop_size 4.
RED = [[121, 107, 147, 176], [108, 109, 126, 125], [110, 136, 155, 112], [146, 126, 147, 123]]
BLUE = [[61, 53, 73, 87], [54, 54, 63, 62], [55, 68, 77, 55], [73, 62, 73, 61]]


def picture():
  """uint8 [9 14 3]."""
  y, x = np.indices((9, 14))
  green = ((37 * y * y + 23 * x * (y + 1)) % 256).astype(np.uint8)
  return np.stack([green, 255 - green, green // 2], axis=-1)


def test_pictures_are_those_of_clip_s_own_preprocessing():
  levels = (towers.prepare(picture()[None], 4) * clip_resize.STD + clip_resize.MEAN) * 255
  np.testing.assert_allclose(levels[0, ..., 0], RED, atol=1e-3)
  np.testing.assert_allclose(levels[0, ..., 2], BLUE, atol=1e-3)


@pytest.mark.parametrize('height, width', [(90, 160), (160, 91), (57, 57), (30, 49), (56, 71)])
def test_equals_transformers(height, width):
  transformers = pytest.importorskip('transformers')
  pytest.importorskip('torch')
  processor = transformers.CLIPImageProcessorPil(size={'shortest_edge': 56}, crop_size=56)
  pictures = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
  want = processor(list(pictures), return_tensors='np')['pixel_values']
  np.testing.assert_allclose(towers.prepare(pictures, 56), np.moveaxis(want, 1, -1), atol=1e-6)


def test_what_stands_beside_the_middle_is_not_seen():
  wide = np.random.default_rng(0).integers(0, 256, (1, 20, 60, 3), np.uint8)
  other = wide.copy()
  other[:, :, :12] = other[:, :, 48:] = 0
  np.testing.assert_array_equal(towers.prepare(wide, 10), towers.prepare(other, 10))
  other[:, :, 22] = 0
  assert (towers.prepare(wide, 10) != towers.prepare(other, 10)).any()


@pytest.mark.parametrize('model, reads', [
    (['clip_image'], False), (['clip_text'], False), (['clip_image', 'clip_text'], True),
    (['clip_image', 'other'], False), (['clip_image', 'narrow'], False)])
def test_captions_are_read_where_both_towers_meet(model, reads):
  widths = {'clip_image': 8, 'clip_text': 8, 'other': 8, 'narrow': 4}
  assert towers.can_read({n.replace('narrow', 'clip_text'): {'projection': widths[n]}
                          for n in model}) == reads
