"""How true and how steady an autoencoder's clips are, beside another's."""

import numpy as np

from svdjax import subject as subject_lib
from svdjax.metrics import flicker, quality, truth
from svdjax.metrics.figure import Figure


def autoencoder(subject):
  """Fidelity of reconstructed held-out clips, and what can still be read: the most that any model
  of its latents can reach. The figures of `subject.other` stand beside, on the same clips."""
  kinds = 'object', 'pointer'
  batch, truths = subject.held_out(kinds, or_others=True)
  video, mean = batch['video'], subject.mean_clip(batch['video'])
  made = subject.autoencoded(video)
  beside = {n: other.autoencoded(video) for n, other in filter(None, [subject.other])}
  figures = [Figure('reconstruction PSNR', [quality.psnr(made, video).mean()],
                    {'mean video': quality.psnr(mean, video).mean()}
                    | {n: quality.psnr(x, video).mean() for n, x in beside.items()}, 'dB')]
  if subject.world and truths[0].get('kind') in kinds:
    read = truth.readable(made, truths, subject.world)
    by_chance = truth.chance(subject.world)
    figures += [Figure(f'{name} of reconstruction', [read[name]], {'chance': by_chance[name]})
                for name in ('color', 'shape')]
  if video.shape[1] > 1:
    subject.shown = subject_lib.Shown(video, made, [t['caption'] for t in truths], beside)
    figures += steadiness(made, video, beside)
  return figures


def steadiness(made, video, beside):
  """How steady decoded clips are in time; `beside` are other decoders' {name: clips}."""
  mean = lambda measure, clips: np.mean([measure(c) for c in clips])
  figures = [Figure(name, [mean(measure, made)], {'truth': mean(measure, video)}
                    | {n: mean(measure, x) for n, x in beside.items()}, 'grey levels')
             for name, measure in (('change between frames', flicker.change),
                                   ('flicker (warp error)', flicker.warp_error))]
  error = lambda clips: np.mean([flicker.error_change(*pair) for pair in zip(clips, video)])
  return figures + [Figure('change of the error between frames', [error(made)], {
      n: error(x) for n, x in beside.items()}, 'grey levels')]
