"""One clip over several devices: its frames in spatial layers, its pixels in temporal ones.

Inside a network a clip [t h w c] that `frame` devices share is as many clips in the batch axis,
each with a part of the frames, g = (groups, parts, clips of a group), so layers need not know. For
temporal layers the parts change to have all frames of a part of the pixels: an all-to-all. Where
the mesh has no `frame` axis all functions return what they are given.
"""

from einops import rearrange
import jax
import jax.numpy as jnp

from svdjax.core import mesh
from svdjax.core.errors import BadInput


def parts():
  """How many devices share a clip."""
  return mesh.current()['frame']


def _groups(clips):
  """How many groups the clips are spread over: all places, or one where they cannot be."""
  return mesh.groups() if clips % mesh.groups() == 0 else 1


def _on_devices(x, groups):
  return mesh.constrain(x, mesh.AXES if groups > 1 else 'frame')


def _check(what, size):
  if size % parts():
    raise BadInput(f'{parts()} devices cannot share a clip of {size} {what} evenly: use another '
                   'number of devices, or of frames, or another size')


def frames(x):
  """[b t ...] -> [g t/parts ...], each part with its own frames.

  Raises:
    BadInput: the frames cannot be spread evenly.
  """
  if parts() == 1:
    return mesh.constrain(x, mesh.CLIPS) if mesh.groups() > 1 else x
  _check('frames', x.shape[1])
  d = _groups(x.shape[0])
  x = mesh.constrain(x, mesh.CLIPS if d > 1 else None, 'frame')
  return _on_devices(rearrange(x, '(d b) (f t) ... -> (d f b) t ...', d=d, f=parts()), d)


def whole(x):
  """The inverse of `frames`: [g t/parts ...] -> [b t ...]."""
  if parts() == 1:
    return x
  d = _groups(x.shape[0] // parts())
  x = rearrange(x, '(d f b) t ... -> (d b) (f t) ...', d=d, f=parts())
  return mesh.constrain(x, mesh.CLIPS if d > 1 else None, 'frame')


def each(x):
  """What belongs to a whole clip, for each of its parts: [b ...] -> [g ...]; None stays None."""
  if parts() == 1 or x is None:
    return x
  d = _groups(x.shape[0])
  x = rearrange(x, '(d b) ... -> d 1 b ...', d=d)
  x = jnp.broadcast_to(x, (x.shape[0], parts()) + x.shape[2:])
  return _on_devices(rearrange(x, 'd f b ... -> (d f b) ...'), d)


def to_pixels(x):
  """All frames of a part of the pixels: [g t/parts s c] -> [g t s/parts c], an all-to-all.

  Raises:
    BadInput: the pixels cannot be spread evenly.
  """
  if parts() == 1:
    return x
  _check('latents of a frame', x.shape[2])
  return _exchange(x, '(d f b) t (p s) c -> d f b t p s c', 'd f b t p s c -> (d p b) (f t) s c')


def to_frames(x):
  """The inverse of `to_pixels`: [g t s/parts c] -> [g t/parts s c]."""
  if parts() == 1:
    return x
  return _exchange(x, '(d f b) (p t) s c -> d f b p t s c', 'd f b p t s c -> (d p b) t (f s) c')


def _exchange(x, apart, together):
  """Moves the mesh's frame axis from the axis f to the axis p."""
  d = _groups(x.shape[0] // parts())
  x = rearrange(x, apart, d=d, f=parts(), p=parts())
  clips, axis = mesh.CLIPS if d > 1 else None, apart.split('->')[1].split().index('p')
  x = mesh.constrain(x, clips, 'frame')
  x = mesh.constrain(x, clips, *[None] * (axis - 1), 'frame')
  return _on_devices(rearrange(x, together), d)


def mean(x):
  """A statistic of each part [g ...] -> its mean over the parts of a clip, the same for each."""
  if parts() == 1:
    return x
  d = _groups(x.shape[0] // parts())
  by_clip = rearrange(x, '(d f b) ... -> d f b ...', d=d, f=parts())
  shared = jnp.broadcast_to(by_clip.mean(1, keepdims=True), by_clip.shape)
  return _on_devices(rearrange(shared, 'd f b ... -> (d f b) ...'), d)
