"""Guidance that grows over the frames against the same for all (SVD, appendix D and figure 16).

    bash launch/quickstart.sh
    python -m launch.ablate guidance --prior runs/quickstart --runs runs/ablation_guidance

The paper finds that one scale for all frames either loses the first frame or oversaturates the
last, and raises it linearly. One model a seed is sampled with 2.5 throughout and with 1 to 2.5.
"""

import ml_collections

from experiments import base


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  c = ml_collections.ConfigDict()
  c.prior = ('toy', 'i2v_base')
  c.arms = ('constant', 'linear')
  c.once = ()
  data = '{prior}/toy'
  train, _ = base.arm(f'experiments/i2v_14f.py:{scale},high', ('{prior}/i2v_base',), data)
  measure = lambda *scales: base.measured(
      data, '{runs}/constant_{seed}', f'--guidance {" ".join(map(str, scales))}')
  c.each = {'constant': (train, measure(2.5)), 'linear': (measure(1., 2.5),)}
  return c
