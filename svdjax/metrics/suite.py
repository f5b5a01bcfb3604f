"""Every measure of a batch of clips, and figures out of the measures of all batches.

Measures are {name: array with one entry for each clip}, so that batches can be concatenated.
"""

from typing import Any, NamedTuple

from einops import rearrange
import numpy as np

from svdjax.inputs import motion
from svdjax.metrics import flicker, frechet, i3d, lpips, quality, similarity, towers
from svdjax.metrics.figure import Figure
from svdjax.metrics.inception_score import inception_score
from svdjax.metrics.ssim import ssim
from svdjax.metrics.weights_file import Tensors

LEAST_FVD = {'made': 2, 'real': 4}  # clips a side; halves of the real ones are compared too
_CLIPS, _IMAGES = 4, 16  # that a network sees at once


class Extractors(NamedTuple):
  """Feature networks; what needs one that is None is not measured.

  Attributes:
    i3d: weights of I3D.
    lpips: (name of the network, its weights).
    clip: `images(uint8 [n h w 3])` and `texts([str])`, each -> unit vectors [n d], `path`, `sha256`.
  """
  i3d: Tensors | None = None
  lpips: tuple[str, Tensors] | None = None
  clip: Any = None

  def describe(self):
    """{network: {'file', 'sha256'}} of those that are there."""
    named = {'I3D': self.i3d, 'CLIP': self.clip}
    if self.lpips:
      named[f'LPIPS ({self.lpips[0]})'] = self.lpips[1]
    return {n: {'file': str(x.path), 'sha256': x.sha256} for n, x in named.items() if x}


def definitions(extractors, given):
  """How figures are defined where the literature does not agree: {name: text}.

  Args:
    extractors: Extractors.
    given: as of `of_pairs`; None where no clips are compared.
  """
  told = {}
  if given is not None:
    which = f'the first {given}, given, of PSNR, SSIM, LPIPS and CLIP-S' if given else 'none'
    told = {'PSNR': 'of each frame, then the mean over frames and clips; 100 dB where they are '
                    'equal', 'frames left out': which}
  return told | ({'input of CLIP': towers.INPUT} if extractors.clip else {})


def in_chunks(function, size, *arrays):
  """function(*arrays) by chunks of their first axis, all of one size, so that it compiles once.

  The last chunk is filled up with its last entry, and what comes of that is dropped.
  """
  results = []
  for i in range(0, len(arrays[0]), size):
    parts = [x[i:i + size] for x in arrays]
    fill = [np.repeat(x[-1:], size - len(x), axis=0) for x in parts]
    results.append(np.asarray(function(*map(np.concatenate, zip(parts, fill)))))
  return np.concatenate(results)[:len(arrays[0])]


def _frames(clips):
  return rearrange(clips, 'n t h w c -> (n t) h w c')


def _embed(clip, clips):
  """uint8 [n t h w 3] -> [n t d]."""
  return rearrange(in_chunks(clip.images, _IMAGES, _frames(clips)), '(n t) d -> n t d',
                   n=len(clips))


def of_clips(clips, fps, extractors, captions=None):
  """Measures of clips by themselves.

  Args:
    clips: uint8 [n t h w 3].
    fps: frames a second.
    extractors: Extractors.
    captions: n texts, or None.

  Returns:
    {'motion' (share of the diagonal a second), 'change', 'warp_error' (grey levels),
     'change_by_frame' [n t-1], 'i3d' [n 400], 'consistency', 'clipsim'}, those that can be had.
  """
  result = {
      'motion': np.array([motion.motion_score(c, fps) for c in clips]),
      'change': np.array([flicker.change(c) for c in clips]),
      'warp_error': np.array([flicker.warp_error(c) for c in clips]),
      'change_by_frame': np.stack([[flicker.change(c[i:i + 2]) for i in range(len(c) - 1)]
                                   for c in clips])}
  if extractors.i3d:
    extract = lambda x: i3d.features(extractors.i3d.params, x)
    result['i3d'] = in_chunks(extract, _CLIPS, clips)
  if extractors.clip:
    frames = _embed(extractors.clip, clips)
    result['consistency'] = similarity.frame_consistency(frames)
    if captions is not None and extractors.clip.reads_text:
      result['clipsim'] = similarity.clipsim(frames, np.asarray(extractors.clip.texts(captions)))
  return result


def of_pairs(made, true, extractors, given=0):
  """Measures of clips uint8 [n t h w 3] against the true ones of the same shape.

  Args:
    made, true: clips.
    extractors: Extractors.
    given: first frames, fewer than t, that 'psnr', 'ssim', 'lpips' and 'clip_s' leave out.

  Returns:
    {'psnr', 'ssim', 'psnr_by_frame' [n t], 'first_psnr', 'first_ssim', 'lpips', 'first_lpips',
     'clip_s'}, those that can be had: means over the frames; 'first' is of the first frame alone.
  """
  by_frame, later = np.stack([quality.psnr(m, t) for m, t in zip(made, true)]), slice(given, None)
  result = {'psnr': by_frame[:, later].mean(1), 'ssim': ssim(made[:, later], true[:, later]),
            'psnr_by_frame': by_frame, 'first_psnr': by_frame[:, 0],
            'first_ssim': ssim(made[:, 0], true[:, 0])}
  if extractors.lpips:
    name, tensors = extractors.lpips
    between = lambda a, b: lpips.distance(tensors.params, name, a, b)
    each = in_chunks(between, _IMAGES, _frames(made), _frames(true)).reshape(made.shape[:2])
    result |= {'lpips': each[:, later].mean(1), 'first_lpips': each[:, 0]}
  if extractors.clip:
    result['clip_s'] = similarity.clip_score(
        *(_embed(extractors.clip, x[:, later]) for x in (made, true)))
  return result


def join(batches):
  """Measures of several batches as those of one, where all have them: [{name: array}] -> one."""
  names = [n for n in batches[0] if all(n in b for b in batches)] if batches else []
  return {n: np.concatenate([b[n] for b in batches]) for n in names}


_UNITS = {'motion': 'diagonals/s', 'change': 'grey levels', 'warp_error': 'grey levels',
          'psnr': 'dB', 'first_psnr': 'dB'}
_NAMES = {'motion': 'motion magnitude', 'change': 'change between frames',
          'warp_error': 'flicker (warp error)', 'consistency': 'frame consistency (CLIP)',
          'clipsim': 'CLIPSIM', 'psnr': 'PSNR', 'ssim': 'SSIM', 'lpips': 'LPIPS',
          'clip_s': 'CLIP-S', 'first_psnr': 'first-frame PSNR', 'first_ssim': 'first-frame SSIM',
          'first_lpips': 'first-frame LPIPS'}
PAIRED = tuple(_NAMES[n] for n in ('psnr', 'ssim', 'lpips', 'clip_s', 'first_psnr', 'first_ssim',
                                   'first_lpips'))  # figures of made clips against true ones


def figures(made, real, pairs, seed, splits=10):
  """Figures of generated clips, each beside what real ones get.

  Args:
    made, real: measures of `of_clips`; `real` may be {}.
    pairs: measures of `of_pairs`, or {}.
    seed: of the halves of the real clips.
    splits: of the Inception score, at most.

  Returns:
    [Figure]; the baseline 'real halves' of the FVD is the distance between two halves of the real
    clips, each of half as many.
  """
  result = []
  if 'i3d' in made:
    if all(len(x.get('i3d', ())) >= LEAST_FVD[n] for n, x in (('made', made), ('real', real))):
      distance = frechet.frechet_distance(*map(frechet.statistics, (made['i3d'], real['i3d'])))
      result.append(Figure('FVD', [distance],
                           {'real halves': frechet.floor(real['i3d'], seed)}))
    scores = {n: inception_score(x['i3d'], splits)[0] for n, x in (('made', made), ('real', real))
              if 'i3d' in x}
    result.append(Figure('Inception score (I3D)', [scores.pop('made')], scores))
  for name, label in _NAMES.items():
    values = made.get(name, pairs.get(name))
    if values is not None:
      baselines = {'real': float(np.nanmean(real[name]))} if name in real else {}
      result.append(Figure(label, [float(np.nanmean(values))], baselines, _UNITS.get(name, '')))
  return result


def over_seeds(figures_by_seed):
  """[[Figure] of each sampling seed], all alike -> [Figure] with the values of all seeds."""
  return [same[0]._replace(values=[v for figure in same for v in figure.values])
          for same in zip(*figures_by_seed, strict=True)]
