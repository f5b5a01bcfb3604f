"""How far a finetuned task is above its trivial answer, on held-out clips whose truth is known.

Interpolation against blending its two frames, multi-view against copying its view, a camera LoRA
against the model without it. Functions take the Subject of svdjax.evaluate.
"""

import dataclasses

import numpy as np

from svdjax.inputs import orbit
from svdjax.metrics import global_motion, pose, quality
from svdjax.metrics.camera import read_camera
from svdjax.metrics.figure import Figure
from svdjax.metrics.overlap import object_overlap


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


def fidelity(subject, made, video, inner, trivial, which):
  """PSNR, SSIM and, with their networks, LPIPS and CLIP-S of some frames, beside trivial answers.

  Args:
    subject: whose extractors are used.
    made: the model's clips of each seed, uint8 [b t h w 3].
    video: the true ones.
    inner: slice of the frames that count.
    trivial: {name: clips like the true ones}.
    which: these frames, in words.

  Returns:
    [Figure].
  """
  from svdjax.metrics import suite
  measure = lambda clips: suite.of_pairs(clips[:, inner], video[:, inner], subject.extractors)
  own, beside = [measure(m) for m in made], {n: measure(x) for n, x in trivial.items()}
  return [Figure(f'{label} of {which}', [m[name].mean() for m in own],
                 {n: m[name].mean() for n, m in beside.items()}, 'dB' if name == 'psnr' else '')
          for name, label in (('psnr', 'PSNR'), ('ssim', 'SSIM'), ('lpips', 'LPIPS'),
                              ('clip_s', 'CLIP-S')) if name in own[0]]


def interpolation(subject):
  """How near the frames between two given ones are to the true ones.

  The autoencoder bounds what a model of its latents reaches, and not what blending reaches.
  """
  batch, truths = subject.held_out(())
  video, made = batch['video'], subject.samples(batch, truths)
  mixed = blend(video)
  subject.show_beside('linear blending', mixed)
  trivial = {'linear blending': mixed, 'first frame repeated': copied(video),
             'blending, autoencoded': subject.autoencoded(mixed),
             'truth, autoencoded': subject.autoencoded(video)}
  return (fidelity(subject, made, video, slice(1, -1), trivial, 'frames between')
          + places(subject.world, made, video, trivial))


def places(world, made, video, trivial):
  """How far objects between two frames are where they truly are, of generated clips alone."""
  if not world:
    return []
  score = lambda clips: float(np.nanmean(
      [object_overlap(m[1:-1], t[1:-1], world) for m, t in zip(clips, video)]))
  return [Figure('object where it truly is', [score(m) for m in made],
                 {n: score(x) for n, x in trivial.items()}, 'overlap')]


def multiview(subject):
  """How near the views that are not given are to the true ones."""
  batch, truths = subject.held_out(())
  video, made = batch['video'], subject.samples(batch, truths)
  trivial = {'view copied': copied(video),
             'view copied, autoencoded': subject.autoencoded(copied(video)),
             'truth, autoencoded': subject.autoencoded(video)}
  figures = fidelity(subject, made, video, slice(1, None), trivial, 'other views')
  return figures + angles(subject.world, made, truths, {'true views': video} | trivial)


def angles(world, made, truths, trivial):
  """The errors of azimuth and elevation of turntables whose solids the world tells, or nothing.

  Those of true views are the reader's own. The given view shows its elevation and copies have it
  too, so that it tells of a model whether it keeps it, and of none whether it turns.
  """
  known = world and ['second_color' in t and t['shape'] in world.solids for t in truths]
  if not known or not all(known):
    return []
  true = true_azimuths(truths, made[0].shape[1])
  errors = lambda clips: {angle: float(np.mean(values)) for angle, values in
                          pose.pose_errors(clips, true, truths, world).items()}
  own, beside = [errors(m) for m in made], {n: errors(x) for n, x in trivial.items()}
  heights = np.array([t['elevation'] for t in truths])
  blind = [pose.chance(e) for e in heights]
  constant = {'elevation': {
      'always the middle one': float(np.abs(heights - np.median(heights)).mean())}}
  return [Figure(f'{angle} error', [e[angle] for e in own],
                 {n: e[angle] for n, e in beside.items()} | constant.get(angle, {})
                 | {'chance': float(np.mean([b[angle] for b in blind]))}, 'degrees')
          for angle in ('azimuth', 'elevation')]


def true_azimuths(truths, count):
  """Degrees [b count] of held-out views, `count` of each orbit, whose truth has those of all."""
  pick = lambda azimuth: orbit.views({'pts': azimuth, 'clip_id': ''}, count, False, None)[0]
  return np.stack([np.asarray(t['azimuth'])[pick(t['azimuth'])] for t in truths])


def camera(subject):
  """Share of clips whose camera is seen to move as the LoRA's training clips do.

  The factors of the model it is compared with are zero. The move is read from the motion that most
  of the picture shares and, of generated clips, from that of the ground alone; where none can be
  read, a clip counts as wrong, as a static one too.
  """
  batch, truths = subject.held_out(())
  moves, video = subject.config.data.camera, batch['video']
  coded = subject.autoencoded(video)
  adapted = subject.samples(batch, truths)
  plain = dataclasses.replace(subject, shown=None, params={
      n: 0 * x if n.startswith('lora/') else x for n, x in subject.params.items()})
  plain.generator = subject.generator
  without = plain.samples(batch, truths)
  subject.show_beside('without LoRA', without[0])
  readers = {'by global motion': lambda v: global_motion.measure(v).move.replace('static', 'none')}
  if subject.world:
    readers['by the ground'] = lambda v: read_camera(v, subject.world).move
  figures = []
  for how, read in readers.items():
    share = lambda clips: float(np.mean([read(v) in moves for v in clips]))
    figures.append(Figure(f'camera {" or ".join(moves)}, {how}', [share(m) for m in adapted], {
        'no LoRA': float(np.mean([share(m) for m in without])), 'true clips': share(video),
        'true clips, autoencoded': share(coded)}))
  return figures


def of_task(config):
  """The function above that measures a checkpoint, None if it is of another task."""
  if 'lora' in config.model:
    return camera
  if config.conditioning.concat == 'masked':
    return interpolation
  return multiview if 'views' in config.data else None
