"""Where cameras stand around an object, from transforms.json or 000.npy …; z is up.

Only orbits are of use, cameras at one elevation and evenly spaced: those anywhere on a sphere are
refused.
"""

import json
import pathlib

import numpy as np

from svdjax.core.errors import BadInput

MAX_TILT = 1.  # degrees of elevation within one orbit
MAX_UNEVEN = 0.25  # of a step of azimuth


def read(folder, paths):
  """Positions of the cameras [n 3], or None where there are no poses.

  Args:
    folder: of the object.
    paths: of its pictures.

  Raises:
    BadInput: poses that cannot be read or are of other pictures.
  """
  table = folder / 'transforms.json'
  try:
    if table.is_file():
      return _from_json(json.loads(table.read_text()), paths)
    arrays = [p.with_suffix('.npy') for p in paths]
    if any(a.is_file() for a in arrays):
      return np.stack([_position(np.load(a, allow_pickle=False)) for a in arrays])
  except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
    raise BadInput(f'{folder} has poses that do not fit its pictures ({error}): give one camera '
                   'matrix for each, in transforms.json or 000.npy') from error
  return None


def _from_json(table, paths):
  """NeRF's layout: each frame's file_path, with or without suffix, and camera-to-world matrix."""
  named = {pathlib.PurePosixPath(f['file_path']).stem: np.asarray(f['transform_matrix'], float)
           for f in table['frames']}
  return np.stack([named[p.stem][:3, 3] for p in paths])


def _position(matrix):
  """World-to-camera [3 4] -> the camera's place [3]."""
  rotation, shift = matrix[:3, :3], matrix[:3, 3]
  return -rotation.T @ shift


def angles(positions):
  """(elevation [n], azimuth [n]) in degrees of cameras [n 3] that look at the origin."""
  x, y, z = positions.T
  return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x)) % 360


def orbit(positions, where):
  """The order of views along one closed circle.

  Args:
    positions: [n 3] of the cameras.
    where: the object, for messages.

  Returns:
    (indices [n] by azimuth, {'elevation', 'azimuth' [n]} in degrees).

  Raises:
    BadInput: elevations differ, or azimuths are not evenly spaced.
  """
  elevation, azimuth = angles(positions)
  if np.ptp(elevation) > MAX_TILT:
    raise BadInput(f'{where} has views at elevations from {elevation.min():.1f} to '
                   f'{elevation.max():.1f} degrees: render an orbit at one elevation')
  order = np.argsort(azimuth)
  sorted_azimuth = azimuth[order]
  steps = np.diff(sorted_azimuth, append=sorted_azimuth[0] + 360)
  if np.abs(steps - 360 / len(steps)).max() > MAX_UNEVEN * 360 / len(steps):
    raise BadInput(f'{where} has views {steps.min():.1f} to {steps.max():.1f} degrees apart: '
                   'render a closed orbit in equal steps')
  facts = {'elevation': round(float(elevation.mean()), 3),
           'azimuth': np.round(sorted_azimuth, 3).tolist()}
  return order.tolist(), facts
