"""How far a finetuned task is above its trivial answer, on held-out clips whose truth is known.

Interpolation against blending its two frames, multi-view against copying its view, a camera LoRA
against the model without it. Functions take the Subject of svdjax.evaluate.
"""

import dataclasses

import numpy as np

from svdjax.metrics import pose, quality
from svdjax.metrics.camera import read_camera
from svdjax.metrics.figure import Figure


def blend(video):
  """Linear blending of the first and the last frame of each clip, uint8 [b t h w 3] -> the same."""
  weight = np.linspace(0, 1, video.shape[1])[None, :, None, None, None]
  mixed = (1 - weight) * video[:, :1] + weight * video[:, -1:]
  return np.round(mixed).astype(np.uint8)


def copied(video):
  """The first frame of each clip throughout."""
  return np.repeat(video[:, :1], video.shape[1], axis=1)


def psnr(made, video, inner):
  """Mean PSNR over clips of the frames in slice `inner`."""
  return quality.psnr(made[:, inner], video[:, inner]).mean()


def interpolation(subject):
  """PSNR of the frames between two given ones."""
  batch, truths = subject.held_out(())
  video, inner = batch['video'], slice(1, -1)
  return [Figure('PSNR of frames between', [psnr(m, video, inner)
                                            for m in subject.samples(batch, truths)], {
      'linear blending': psnr(blend(video), video, inner),
      'first frame repeated': psnr(copied(video), video, inner)}, 'dB')]


def multiview(subject):
  """PSNR of the views that are not given."""
  batch, truths = subject.held_out(())
  video, inner, made = batch['video'], slice(1, None), subject.samples(batch, truths)
  return [Figure('PSNR of other views', [psnr(m, video, inner) for m in made], {
      'view copied': psnr(copied(video), video, inner)}, 'dB'),
          *azimuths(subject.world, made, video, truths)]


def azimuths(world, made, video, truths):
  """The azimuth error of turntables whose solids the world tells, or nothing."""
  known = ['second_color' in t and t['shape'] in world.solids for t in truths]
  if not known or not all(known):
    return []
  errors = lambda clips: float(np.nanmean(pose.azimuth_errors(clips, video, truths, world)))
  return [Figure('azimuth error', [errors(m) for m in made], {
      'view copied': errors(copied(video)), 'chance': 90.}, 'degrees')]


def camera(subject):
  """Share of clips whose camera is seen to move as the LoRA's training clips do.

  The factors of the model it is compared with are zero.
  """
  batch, truths = subject.held_out(())
  moves = subject.config.data.camera
  share = lambda videos: float(np.mean(
      [read_camera(v, subject.world).move in moves for v in videos]))
  adapted = [share(m) for m in subject.samples(batch, truths)]
  plain = dataclasses.replace(subject, shown=(), params={
      n: 0 * x if n.startswith('lora/') else x for n, x in subject.params.items()})
  plain.generator = subject.generator
  without = [share(m) for m in plain.samples(batch, truths)]
  return [Figure(f'camera {" or ".join(moves)}', adapted, {
      'no LoRA': float(np.mean(without)), 'true clips': share(batch['video'])})]


def of_task(config):
  """The function above that measures a checkpoint, None if it is of another task."""
  if 'lora' in config.model:
    return camera
  if config.conditioning.concat == 'masked':
    return interpolation
  return multiview if 'views' in config.data else None
