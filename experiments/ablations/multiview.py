"""Video prior against image prior against none, for multi-view (SVD, section 4.5).

    bash launch/quickstart.sh
    python -m launch.ablate multiview --prior runs/quickstart --runs runs/ablation_multiview

The paper finetunes the same network on the same orbits for the same number of steps from the
image-to-video model, from the image model and from random weights; the first is ahead already after
1k of 12k steps.
"""

import ml_collections

from experiments import base

OBJECTS = {'small': (2000, 200, 96), 'tiny': (400, 60, 48)}  # train, test, pixels; ours


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  train, test, side = OBJECTS[scale]
  c = ml_collections.ConfigDict()
  c.prior = ('autoencoder', 'clip', 'image_pretrain', 'i2v_25f')
  c.arms = ('scratch', 'image', 'video')  # differences are to the first
  c.once = (('orbits', 60, f'-m data.toyworld --output {{runs}}/orbits --kinds turntable --clips '
             f'{train} --test-clips {test} --frames 21 --height {side} --width {side}'),)
  file, data = f'experiments/multiview.py:{scale}', '{runs}/orbits'
  c.each = {'scratch': base.arm(f'{file},scratch', ('autoencoder', 'clip'), data),
            'image': base.arm(f'{file},image', ('image_pretrain', 'clip'), data),
            'video': base.arm(f'{file},posed', ('i2v_25f',), data)}
  return c
