"""Guidance that grows over the frames against the same for all (SVD, appendix D and figure 16).

    bash launch/quickstart.sh
    python -m launch.ablate guidance --prior runs/quickstart --runs runs/ablation_guidance

The paper finds that one scale for all frames either loses the first frame or oversaturates the
last, and raises it linearly. Both arms train the same image-to-video stage, bit by bit the same for
a seed, and are sampled with 1 to 2.5 and with 2.5 throughout.
"""

import ml_collections

from experiments import base


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  c = ml_collections.ConfigDict()
  c.prior = ('toy', 'i2v_base')
  c.arms = ('constant', 'linear')
  c.once = ()
  c.each = {name: base.arm(f'experiments/i2v_14f.py:{scale},high', ('i2v_base',), '{prior}/toy',
                           (f'sample.guidance={name}',)) for name in c.arms}
  return c
