"""Any photograph becomes upright 8 bit RGB."""

import numpy as np
from PIL import Image
import pytest

from svdjax.core.errors import BadInput
from svdjax.inputs import image

PICTURE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)


def save(path, picture, **options):
  picture.save(path, **options)
  return path


def test_png_is_exact(tmp_path):
  path = save(tmp_path / 'x.png', Image.fromarray(PICTURE))
  np.testing.assert_array_equal(image.load_image(path), PICTURE)


@pytest.mark.parametrize('orientation, upright', [
    (2, PICTURE[:, ::-1]), (3, np.rot90(PICTURE, 2)), (6, np.rot90(PICTURE, -1)),
    (8, np.rot90(PICTURE, 1))])
def test_exif_rotation_is_applied(tmp_path, orientation, upright):
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = save(tmp_path / 'x.png', Image.fromarray(PICTURE), exif=exif)
  np.testing.assert_array_equal(image.load_image(path), upright)


def test_transparency_shows_white(tmp_path):
  alpha = np.zeros((20, 30, 1), np.uint8)
  alpha[:10] = 255
  path = save(tmp_path / 'x.png', Image.fromarray(np.concatenate([PICTURE, alpha], axis=-1)))
  loaded = image.load_image(path)
  np.testing.assert_array_equal(loaded[:10], PICTURE[:10])
  assert (loaded[10:] == 255).all()


def test_a_transparent_palette_colour_shows_white(tmp_path):
  palette = Image.new('P', (4, 4), 1)
  palette.putpalette([0, 0, 0, 10, 20, 30])
  palette.putpixel((0, 0), 0)
  loaded = image.load_image(save(tmp_path / 'x.png', palette, transparency=0))
  assert loaded[0, 0].tolist() == [255, 255, 255] and loaded[1, 1].tolist() == [10, 20, 30]


def test_grey_repeats_in_all_channels(tmp_path):
  loaded = image.load_image(save(tmp_path / 'x.png', Image.fromarray(PICTURE[..., 0])))
  np.testing.assert_array_equal(loaded, np.repeat(PICTURE[..., :1], 3, axis=-1))


@pytest.mark.parametrize('suffix', ['png', 'tiff'])
def test_16_bit_grey_keeps_its_range(tmp_path, suffix):
  deep = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
  loaded = image.load_image(save(tmp_path / f'x.{suffix}', deep))
  np.testing.assert_allclose(loaded[0, :, 0], [0, 127.5, 255], atol=0.6)


def test_cmyk_jpegs_are_read(tmp_path):
  path = save(tmp_path / 'x.jpg', Image.new('CMYK', (8, 8), (0, 255, 255, 0)))
  red, green, blue = image.load_image(path)[4, 4]
  assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize('content', [b'', b'not an image', b'\x89PNG\r\n\x1a\n and then nothing'])
def test_what_is_no_image_is_refused(tmp_path, content):
  path = tmp_path / 'x.png'
  path.write_bytes(content)
  with pytest.raises(BadInput, match='x.png cannot be read as an image'):
    image.load_image(path)


def test_half_a_jpeg_is_refused(tmp_path):
  path = save(tmp_path / 'x.jpg', Image.fromarray(np.tile(PICTURE, (10, 10, 1))))
  path.write_bytes(path.read_bytes()[:3000])
  with pytest.raises(BadInput, match='cannot be read'):
    image.load_image(path)


def test_missing_files_and_folders_are_refused(tmp_path):
  for path in (tmp_path / 'absent.png', tmp_path):
    with pytest.raises(BadInput, match='is not a file'):
      image.load_image(path)


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
  monkeypatch.setattr(image, 'MAX_PIXELS', 20 * 30 - 1)
  with pytest.raises(BadInput, match='30x20'):
    image.load_image(save(tmp_path / 'x.png', Image.fromarray(PICTURE)))


def test_fit_image_covers_and_maps_to_the_range_of_the_model():
  half = np.zeros((20, 60, 3), np.uint8)
  half[:, 30:] = 255
  fitted = image.fit_image(half, 16, 24)
  assert fitted.shape == (16, 24, 3) and fitted.dtype == np.float32
  assert (fitted[:, 0] == -1).all() and (fitted[:, -1] == 1).all()
