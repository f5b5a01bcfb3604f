"""Guidance that grows over the frames against the same for all (SVD, appendix D and figure 16).

    bash launch/quickstart.sh
    python -m launch.ablate guidance --prior runs/quickstart --runs runs/ablation_guidance

The paper finds that one scale for all frames either loses the first frame or oversaturates the
last, and raises it linearly. One model a seed is sampled with 1 to 2.5 over the frames, and with
the highest, the mean and the lowest of these throughout.
"""

import ml_collections

from experiments import base

SCALES = {'linear': (1., 2.5), 'highest': (2.5,), 'mean': (1.75,), 'lowest': (1.,)}


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  c = ml_collections.ConfigDict()
  c.prior = ('toy', 'i2v_base')
  c.arms = tuple(SCALES)
  c.once = ()
  data = '{prior}/toy'
  train, _ = base.arm(f'experiments/i2v_14f.py:{scale},high', ('{prior}/i2v_base',), data)
  c.each = {arm: (base.measured(data, '{runs}/linear_{seed}',
                                f'--guidance {" ".join(map(str, scales))}'),)
            for arm, scales in SCALES.items()}
  c.each.linear = (train, *c.each.linear)
  return c
