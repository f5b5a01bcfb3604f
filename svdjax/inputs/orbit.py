"""Orbits of a camera around an object: views from clips, and what SV3D is told (svd_model 7.1)."""

import json

import numpy as np
from PIL import Image

from svdjax.core.errors import BadInput
from svdjax.inputs import image as image_lib

FILL = 0.917  # of the frame's side that the object takes, as in the original demo


def views(entry, count, closed, rng):
  """Frames of a clip that goes around an object, spread evenly over it.

  Args:
    entry: a record; of a closed orbit its truth has 'azimuth' of each frame and 'elevation'.
    count: how many frames.
    closed: whether the clip is one full circle at one elevation; it may then start anywhere.
    rng: numpy generator of the start, None to start with the clip's first view.

  Returns:
    (int64 [count] frame numbers, elevation in degrees or None).

  Raises:
    BadInput: too few frames, or a closed orbit without its pose.
  """
  total, name = len(entry['pts']), f'clip {entry["clip_id"]}'
  if total < count:
    raise BadInput(f'{name} has {total} views, fewer than config.data.frames {count}: lower it, or '
                   'render more views')
  chosen = np.arange(count) * total // count
  if not closed:
    return chosen, None
  truth = json.loads(entry['truth'] or '{}')
  if 'elevation' not in truth or 'azimuth' not in truth:
    raise BadInput(f'{name} has no elevation and azimuth: train the variant unposed on it, or give '
                   'poses to `python -m data.views`')
  start = rng.integers(total) if rng else 0
  return (chosen + start) % total, float(truth['elevation'])


def cameras(frames, elevation, azimuths=None):
  """Angles of each frame; the last frame is the conditioning view, at azimuth 0.

  Args:
    frames: t.
    elevation: degrees above the horizon, one number or [t].
    azimuths: degrees [t], increasing; one turn in equal steps by default.

  Returns:
    (polar [t], azimuth [t] relative to the last view), float32 radians.

  Raises:
    BadInput: another number of angles than frames, or an elevation beyond the poles.
  """
  elevation = np.atleast_1d(np.asarray(elevation, np.float64))
  if not (np.abs(elevation) <= 90).all():
    raise BadInput(f'elevation {elevation.tolist()} is beyond the poles: use -90 to 90 degrees')
  azimuths = np.linspace(0, 360, frames + 1)[1:] if azimuths is None else np.asarray(azimuths)
  for name, angles in (('elevation', elevation), ('azimuths', azimuths)):
    if angles.size not in {frames, 1 if name == 'elevation' else frames}:
      raise BadInput(f'{name} has {angles.size} angles for {frames} frames: give one for each')
  relative = (azimuths - azimuths[-1]) % 360
  relative[:-1].sort()
  polar = np.broadcast_to(np.deg2rad(90 - elevation), (frames,))
  return polar.astype(np.float32), np.deg2rad(relative).astype(np.float32)


def load_object(path, side):
  """A picture of an object as the models were trained on: centred, filling the frame, over white.

  Args:
    path: image file. Where it is transparent, what is not is the object, which is cut out and
      centred; an opaque picture is taken as it is.
    side: of the result in pixels.

  Returns:
    float32 [side side 3] in [-1, 1].

  Raises:
    BadInput: as image.load_image, or wholly transparent.
  """
  rgb = image_lib.load_image(path)
  box = image_lib.opaque_box(path)
  if box is None:
    raise BadInput(f'image {path} is wholly transparent: give a picture with an object')
  left, top, right, bottom = box
  height, width = rgb.shape[:2]
  if (right - left, bottom - top) == (width, height):
    return image_lib.fit_image(rgb, side, side)
  canvas = int(max(right - left, bottom - top) / FILL)
  frame = Image.new('RGB', (canvas, canvas), 'white')
  cut = Image.fromarray(rgb[top:bottom, left:right])
  frame.paste(cut, ((canvas - cut.width) // 2, (canvas - cut.height) // 2))
  resized = frame.resize((side, side), Image.Resampling.LANCZOS)
  return np.asarray(resized, np.float32) / 127.5 - 1
