"""Batches of measures, and what becomes of them."""

import numpy as np

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


def test_extractors_tell_their_files():
  tensors = Tensors({}, 'alex.safetensors', 'f00')
  assert suite.Extractors(lpips=('alex', tensors)).describe() == {
      'LPIPS (alex)': {'file': 'alex.safetensors', 'sha256': 'f00'}}
