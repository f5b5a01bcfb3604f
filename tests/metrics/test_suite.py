"""Batches of measures, and what becomes of them."""

import types

import numpy as np
import pytest

from svdjax.metrics import suite
from svdjax.metrics.weights_file import Tensors


def test_chunks_are_all_of_one_size_and_nothing_is_lost():
  sizes = []

  def double(x, y):
    sizes.append(len(x))
    return x + y

  x = np.arange(10)
  np.testing.assert_array_equal(suite.in_chunks(double, 4, x, x), 2 * x)
  assert sizes == [4, 4, 4]


def test_batches_join_where_all_have_a_measure():
  joined = suite.join([{'psnr': np.ones(2), 'clipsim': np.ones(2)}, {'psnr': np.zeros(3)}])
  assert set(joined) == {'psnr'} and len(joined['psnr']) == 5
  assert suite.join([]) == {}


def test_the_distance_of_features_stands_beside_its_floor():
  rng = np.random.default_rng(0)
  real, shifted = rng.standard_normal((2, 400, 5))
  made = {'i3d': shifted + 1, 'motion': np.ones(400)}
  figures = {f.name: f for f in suite.figures(made, {'i3d': real, 'motion': np.zeros(400)}, {}, 0)}
  fvd = figures['FVD']
  assert abs(fvd.values[0] - 5) < 1 and fvd.baselines['real halves'] < 0.3
  assert figures['motion magnitude'].baselines == {'real': 0.}
  assert figures['Inception score (I3D)'].values[0] > 1


def test_figures_of_seeds_have_the_values_of_all():
  by_seed = [suite.figures({'motion': np.full(3, seed)}, {'motion': np.zeros(3)},
                           {'psnr': np.full(3, 10. * seed)}, 0) for seed in (1, 2)]
  motion, psnr = suite.over_seeds(by_seed)
  assert motion.name == 'motion magnitude'
  assert (motion.values, motion.baselines) == ([1, 2], {'real': 0.})
  assert (psnr.values, psnr.unit) == ([10, 20], 'dB')


def test_given_frames_count_in_no_figure_but_those_of_the_first():
  """Of three frames the first is 100 levels off, the others 1 and 10; the fake CLIP is blind."""
  clip = types.SimpleNamespace(images=lambda x: np.eye(2)[(x.mean((1, 2, 3)) > 50).astype(int)])
  true = np.zeros((1, 3, 12, 12, 3), np.uint8)
  made = true + np.uint8([100, 1, 10])[None, :, None, None, None]
  all_of, later = (suite.of_pairs(made, true, suite.Extractors(clip=clip), given)
                   for given in (0, 1))
  decibel = lambda error: 20 * np.log10(255 / error)
  assert later['psnr'] == pytest.approx((decibel(1) + decibel(10)) / 2)
  assert all_of['psnr'] == pytest.approx((decibel(100) + decibel(1) + decibel(10)) / 3)
  assert all_of['ssim'] < later['ssim'] and later['clip_s'] == [1] > all_of['clip_s']
  for name in ('first_psnr', 'first_ssim', 'psnr_by_frame'):
    np.testing.assert_array_equal(later[name], all_of[name])
  assert later['first_psnr'] == pytest.approx(decibel(100))


def test_definitions_say_what_is_left_out_and_what_clip_sees():
  clip = types.SimpleNamespace()
  assert suite.definitions(suite.Extractors(), 0)['frames left out'] == 'none'
  assert suite.definitions(suite.Extractors(), None) == {}
  told = suite.definitions(suite.Extractors(clip=clip), 1)
  assert told['frames left out'].startswith('the first 1') and 'crop' in told['input of CLIP']


def test_extractors_tell_their_files():
  tensors = Tensors({}, 'alex.safetensors', 'f00')
  assert suite.Extractors(lpips=('alex', tensors)).describe() == {
      'LPIPS (alex)': {'file': 'alex.safetensors', 'sha256': 'f00'}}
