"""What changes between neighbouring frames, and what of it motion does not explain."""

import cv2
import numpy as np

from svdjax.inputs import motion


def change(frames):
  """Mean absolute difference of neighbouring frames uint8 [t h w 3] in grey levels; 0 for one."""
  if len(frames) < 2:
    return 0.
  return float(np.abs(np.diff(frames.astype(np.float32), axis=0)).mean())


def error_change(frames, truth):
  """How much the error against true frames uint8 [t h w 3] changes from frame to frame.

  The mean absolute difference of neighbouring errors in grey levels: 0 for errors that stay where
  they are, which do not flicker; 0 for one frame.
  """
  if len(frames) < 2:
    return 0.
  return float(np.abs(np.diff(frames.astype(np.float32) - truth.astype(np.float32), axis=0)).mean())


def warp_error(frames):
  """Flicker: the mean absolute difference that is left after following the optical flow.

  Pixels are left out where the flow there and back does not return to within one pixel, or leaves
  the frame: what was hidden cannot be compared. Measured at a long side of 256 pixels.

  Args:
    frames: uint8 [t h w 3].

  Returns:
    Grey levels; 0 for one frame, nan where nothing can be compared.
  """
  if len(frames) < 2:
    return 0.
  frames = [motion.for_flow(f) for f in frames]
  errors = [_pair_error(a, b) for a, b in zip(frames, frames[1:])]
  return float(np.nanmean(errors)) if np.isfinite(errors).any() else float('nan')


def _pair_error(before, after):
  grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (before, after)]
  flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
  back, forth = flow.calc(grey[1], grey[0], None), flow.calc(grey[0], grey[1], None)
  y, x = np.indices(grey[0].shape, np.float32)
  place = x + back[..., 0], y + back[..., 1]
  take = lambda image: cv2.remap(image, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
  height, width = grey[0].shape
  inside = (place[0] >= 0) & (place[0] <= width - 1) & (place[1] >= 0) & (place[1] <= height - 1)
  seen = inside & (np.linalg.norm(back + take(forth), axis=-1) < 1)
  if not seen.any():
    return np.nan
  return np.abs(take(before.astype(np.float32)) - after)[seen].mean()
