"""Raw footage whose truth is known: shots joined by cuts and fades, for curation to take apart."""

import dataclasses

import cv2
import numpy as np

from data.toyworld import render
from data.toyworld import scene as scenes

KINDS = ('pan', 'still', 'text', 'toy')
_WORDS = 'LOREM IPSUM DOLOR SIT AMET CONSECTETUR ADIPISCING ELIT SED DO EIUSMOD TEMPOR'.split()


@dataclasses.dataclass(frozen=True)
class Shot:
  """A stretch filmed without a cut.

  Attributes:
    kind: one of KINDS; 'still' is a photograph, 'text' a slow pan under a page of text.
    seconds: length, with its share of the fades at both ends.
    seed: of what is seen.
    speed: of a pan, in frame widths a second.
    join: how it follows the shot before: 'cut', 'fade' (one picture into the other) or 'black'
      (down to black and up again).
    joint: seconds of the fade.
  """
  kind: str
  seconds: float
  seed: int
  speed: float = 0.1
  join: str = 'cut'
  joint: float = 0.0


@dataclasses.dataclass(frozen=True)
class Reel:
  """Frames and what is true of them.

  Attributes:
    frames: uint8 [t h w 3].
    shot_of: int64 [t] number of the shot shown, -1 within fades.
    cuts: frame numbers that a new shot starts at, without fades.
    fades: [(first, last)] frame numbers of mixed or black frames, both included.
  """
  frames: np.ndarray
  shot_of: np.ndarray
  cuts: list
  fades: list

  def shown(self, clip, first):
    """The shots that frames show, judged by their pictures alone.

    Args:
      clip: uint8 [t h w 3], frames of the reel from about number `first` on, however encoded.
      first: a guess, right within a second or so.

    Returns:
      int64 [t], -1 for faded frames.
    """
    low, high = max(0, first - _SLACK), first + len(clip) + _SLACK
    ours, theirs = _signature(clip), _signature(self.frames[low:high])
    distance = np.stack([np.abs(theirs - one).mean(axis=1) for one in ours])
    return self.shot_of[low:high][distance.argmin(axis=1)]


_SLACK = 24  # frames


def _signature(frames):
  """float32 [t n]: small grey pictures of frames [t h w 3]."""
  return frames[:, ::6, ::6].mean(axis=-1, dtype=np.float32).reshape(len(frames), -1)


def texture(seed, height, width):
  """uint8 [h w 3] with a spectrum of 1/f^1.5, a slightly soft photograph's."""
  rng = np.random.default_rng(seed)
  y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
  amplitude = np.maximum(np.hypot(y, x), 1 / max(height, width)) ** -1.5
  layers = []
  for _ in range(3):
    noise = rng.standard_normal((height, width))
    layer = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, (height, width))
    layers.append(layer / layer.std())
  light, *tints = layers
  mixed = light[..., None] + np.einsum('c h w, c d -> h w d', tints, rng.normal(0, 0.25, (2, 3)))
  mixed = 40 * mixed / mixed.std(axis=(0, 1)) + rng.uniform(60, 195, 3)
  return np.clip(mixed, 0, 255).astype(np.uint8)


def pan(shot, count, height, width, fps):
  """Yields the frames of a shot of kind 'pan', see `film`, one at a time."""
  reach = shot.speed * width / fps
  wide = texture(shot.seed, height, width + int(np.ceil(abs(reach) * count)) + 2)
  for t in range(count):
    move = np.float32([[1, 0, -reach * t], [0, 1, 0]])
    yield cv2.warpAffine(wide, move, (width, height), flags=cv2.INTER_LINEAR)


def write_text(frame, seed):
  """Writes a page of words over most of a frame uint8 [h w 3], in place."""
  rng, (height, width) = np.random.default_rng(seed), frame.shape[:2]
  size = height / 300
  for y in range(round(0.15 * height), round(0.95 * height), round(0.12 * height)):
    line = ' '.join(rng.choice(_WORDS, 8))
    thickness = max(1, round(size * 2))
    place = (round(0.04 * width), y)
    for colour, extra in ((0, 2), (255, 0)):
      cv2.putText(frame, line, place, cv2.FONT_HERSHEY_SIMPLEX, size, (colour,) * 3,
                  thickness + extra, cv2.LINE_AA)


def scene_of(shot):
  """The toy scene of a shot of kind 'toy', a scene.Scene."""
  return scenes.sample(shot.seed, 'train', 0, {'object': 1.0})


def film(shot, count, height, width, fps):
  """The `count` frames of a shot, uint8 [t h w 3], without its joints."""
  if shot.kind == 'toy':
    return np.asarray(render.render(scene_of(shot), height, width, count))
  if shot.kind == 'still':
    return np.repeat(texture(shot.seed, height, width)[None], count, axis=0)
  frames = np.stack(list(pan(shot, count, height, width, fps)))
  if shot.kind == 'text':
    for frame in frames:
      write_text(frame, shot.seed)
  return frames


def _mix(first, second, join):
  """Two overlapping ends, uint8 [t h w 3] each, as one fade."""
  share = (np.arange(1, len(first) + 1) / (len(first) + 1))[:, None, None, None]
  if join == 'fade':
    mixed = first * (1 - share) + second * share
  else:
    mixed = first * np.maximum(1 - 2 * share, 0) + second * np.maximum(2 * share - 1, 0)
  return np.round(mixed).astype(np.uint8)


def make(shots, height, width, fps):
  """Films shots and joins them.

  Args:
    shots: [Shot]; a fade takes its frames from both shots it joins.
    height: pixels.
    width: pixels.
    fps: frames a second.

  Returns:
    Reel.
  """
  frames, shot_of, cuts, fades = [], [], [], []
  for i, shot in enumerate(shots):
    taken = film(shot, round(shot.seconds * fps), height, width, fps)
    overlap = round(shot.joint * fps) if i and shot.join != 'cut' else 0
    if overlap:
      fades.append((len(frames) - overlap, len(frames) - 1))
      frames[-overlap:] = _mix(np.stack(frames[-overlap:]), taken[:overlap], shot.join)
      shot_of[-overlap:] = [-1] * overlap
    elif i:
      cuts.append(len(frames))
    frames += list(taken[overlap:])
    shot_of += [i] * (len(taken) - overlap)
  return Reel(np.stack(frames), np.array(shot_of), cuts, fades)
