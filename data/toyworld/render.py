"""Draws a scene: textured ground, soft shadow, shaded object, edges antialiased."""

import cv2
import numpy as np

from data.toyworld import turntable
from data.toyworld import world

_SUPERSAMPLE = 3
_SHIFT = 4  # sub-pixel bits of cv2's polygon corners
_OUTLINES = world.outlines()
# Of the ground's pattern: it is what shows whether the camera moves.
_CONTRAST = {'camera': 0.25, 'steady': 0.25}


def trajectory(scene, frames):
  """(track [t 2], scale [t], angle [t]): centre in shares of width and height, zoom, degrees.

  The camera's move displaces and scales everything about the middle of the frame.
  """
  u = np.linspace(0, 1, frames)[:, None] if frames > 1 else np.zeros((1, 1))
  still = (0, 0)
  own = u * scene.travel * np.array(world.DIRECTIONS.get(scene.direction, still))
  camera = u * scene.travel * np.array(world.DIRECTIONS.get(scene.move, still))
  growth = {'in': 1, 'out': -1}.get(scene.move, 0) * np.log(1 + 1.6 * scene.travel)
  scale = np.exp(growth * u)
  track = 0.5 + scale * (np.array(scene.start) + own - camera - 0.5)
  return track, scale[:, 0], scene.angle + scene.spin * u[:, 0]


def _pattern(name, x, y, rng):
  """A smooth field in about [-1, 1] over places x, y in frame heights."""
  angle, period = rng.uniform(0, np.pi), rng.uniform(0.7, 0.95)
  phase = rng.uniform(0, 2 * np.pi, 2)
  k = 2 * np.pi / period
  a = k * (x * np.cos(angle) + y * np.sin(angle)) + phase[0]
  b = k * (y * np.cos(angle) - x * np.sin(angle)) + phase[1]
  if name == 'stripes':
    return np.tanh(2.5 * np.sin(a))
  if name == 'checks':
    return np.tanh(4 * np.sin(0.75 * a) * np.sin(0.75 * b))
  if name == 'waves':
    return np.tanh(2 * np.sin(a + 1.3 * np.sin(0.8 * b)))
  if name == 'dots':
    return np.tanh(2.5 * (np.sin(a) + np.sin(b) - 0.8))
  if name == 'rings':
    centre = rng.uniform(-0.3, 0.3, 2)
    radius = np.sqrt((x - centre[0])**2 + (y - centre[1])**2 + 0.08**2)  # smooth in the middle
    return np.tanh(2.5 * np.sin(k * radius + phase[0]))
  return np.zeros_like(x) if name == 'plain' else 1.6 * _clouds(x, y, rng)


def _clouds(x, y, rng):
  """Five random waves added up, in about [-1, 1]."""
  angle, phase = rng.uniform(0, 2 * np.pi, (2, 5))
  k = 2 * np.pi / rng.uniform(0.45, 1.1, 5)
  waves = [np.sin(k[i] * (x * np.cos(angle[i]) + y * np.sin(angle[i])) + phase[i])
           for i in range(5)]
  return sum(waves) / 3


def background(scene, height, width, frames):
  """The ground of a clip [t h w 3], float 0..255; t is 1 where the camera stands still."""
  rng = np.random.Generator(np.random.PCG64(scene.texture_seed))
  aspect = np.array([width / height, 1])
  centred, scale, _ = trajectory(scene, frames if scene.move != 'none' else 1)
  y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width,
                     indexing='ij')
  # A place on the ground is found from the object's, which stands still on it under a camera.
  places = [((z - centred[:, i, None, None]) / scale[:, None, None] + scene.start[i] - 0.5)
            * aspect[i] for i, z in enumerate((x, y))]
  contrast = _CONTRAST.get(scene.kind, 0.09)
  light = 1 + contrast * _pattern(scene.background, *places, rng) + 0.05 * _clouds(*places, rng)
  return np.array(world.TINTS[scene.tint]) * light[..., None]


def _shrink(image, height, width):
  return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _shape(scene, centre, angle, size, shape):
  """One outline: (premultiplied colour [h w 3], alpha [h w]), lit from the upper left."""
  height, width = shape
  big = np.zeros((height * _SUPERSAMPLE, width * _SUPERSAMPLE), np.uint8)
  c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
  points = _OUTLINES[scene.shape] @ np.array([[c, s], [-s, c]]) * size * height
  pixels = (points + centre * (width, height)) * _SUPERSAMPLE - 0.5
  cv2.fillPoly(big, [np.round(pixels * 2**_SHIFT).astype(np.int32)], 255, shift=_SHIFT)
  alpha = _shrink(big, height, width).astype(np.float32) / 255
  inner = cv2.GaussianBlur(alpha, (0, 0), 0.035 * height)
  across = (np.add.outer(np.arange(height) / height - centre[1],
                         (np.arange(width) / width - centre[0]) * width / height)) / size
  shade = (0.78 + 0.3 * inner) * (1 - 0.16 * across)
  color = np.array(world.COLORS[scene.color], np.float32) * shade[..., None]
  return np.clip(color, 0, 255) * alpha[..., None], alpha


def _solid(scene, azimuth, shape):
  height, width = shape
  color, alpha = turntable.draw(scene, azimuth, height * _SUPERSAMPLE, width * _SUPERSAMPLE)
  return _shrink(color, height, width), _shrink(alpha, height, width)


def masks_and_frames(scene, height, width, frames):
  """Renders a scene.

  Returns:
    (alpha [t h w] float in 0..1 of the object, video [t h w 3] uint8).
  """
  track, scale, angle = trajectory(scene, frames)
  if scene.kind == 'turntable':
    layers = [_solid(scene, a, (height, width))
              for a in turntable.azimuths(scene.azimuth, frames)]
  else:
    layers = [_shape(scene, track[i], angle[i], scene.size * scale[i], (height, width))
              for i in range(frames)]
  color, alpha = (np.stack(x) for x in zip(*layers))
  shift = np.float32([[1, 0, 0.03 * height], [0, 1, 0.045 * height]])
  shadow = np.stack([cv2.GaussianBlur(cv2.warpAffine(a, shift, (width, height)), (0, 0),
                                      0.03 * height) for a in alpha])
  ground = background(scene, height, width, frames) * (1 - 0.4 * shadow[..., None])
  video = color + ground * (1 - alpha[..., None])
  return alpha, np.clip(np.round(video), 0, 255).astype(np.uint8)


def render(scene, height, width, frames):
  """Renders a scene to [t h w 3] uint8."""
  return masks_and_frames(scene, height, width, frames)[1]
