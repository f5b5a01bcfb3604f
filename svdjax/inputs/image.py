"""Still images as model input."""

import pathlib
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from svdjax.core.errors import BadInput
from svdjax.inputs import video

MAX_PIXELS = 2 ** 27  # 134 megapixels
_PARSE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error)


def opaque_box(path):
  """(left, top, right, bottom) of what is not transparent in an image that `load_image` reads."""
  with Image.open(path) as image:
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
      return 0, 0, *upright.size
    return upright.convert('RGBA').getchannel('A').getbbox()


def load_image(path):
  """Reads any photograph: upright, over white where transparent, 8 bits a channel.

  Args:
    path: a local image file (JPEG, PNG, WebP, TIFF, ...).

  Returns:
    uint8 [h w 3] RGB.

  Raises:
    BadInput: no such file, not an image, damaged, or more than MAX_PIXELS pixels.
  """
  if not pathlib.Path(path).is_file():
    raise BadInput(f'image {path} is not a file: check the path')
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow warns of damage that it then mends or raises
      with Image.open(path) as image:
        if image.width * image.height > MAX_PIXELS:
          raise BadInput(f'image {path} is {image.width}x{image.height}, over {MAX_PIXELS} pixels: '
                         'scale it down')
        return _to_rgb(ImageOps.exif_transpose(image))
  except BadInput:
    raise
  except Image.DecompressionBombError as error:
    raise BadInput(f'image {path} has over {MAX_PIXELS} pixels: scale it down') from error
  except _PARSE_ERRORS as error:
    raise BadInput(f'image {path} cannot be read as an image: give a JPEG, PNG, WebP or TIFF '
                   'file') from error


def _to_rgb(image):
  if image.mode.startswith('I') or image.mode == 'F':
    grey = np.asarray(image, np.float64)
    top = 65535 if image.mode.startswith('I') else max(1.0, grey.max())
    grey = np.clip(np.round(grey * 255 / top), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
  if not image.has_transparency_data:
    return np.asarray(image.convert('RGB'))
  image = image.convert('RGBA')
  white = Image.new('RGBA', image.size, 'white')
  return np.asarray(Image.alpha_composite(white, image).convert('RGB'))


def fit_image(image, height, width):
  """Scales an image to cover a size, crops the centre and maps it to the model's range.

  Args:
    image: uint8 [h w 3].
    height: of the result, in pixels.
    width: of the result, in pixels.

  Returns:
    float32 [height width 3] in [-1, 1].
  """
  return video.resize_crop(image, height, width).astype(np.float32) / 127.5 - 1
