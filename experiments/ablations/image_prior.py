"""Image prior against none: the first stage of video pretraining (SVD, section 3.2).

    bash launch/quickstart.sh
    python -m launch.ablate image_prior --prior runs/quickstart --runs runs/ablation_image_prior

The paper trains the same video model from Stable Diffusion and from random spatial weights; people
prefer the first in quality and in prompt following.
"""

import ml_collections

from experiments import base


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  c = ml_collections.ConfigDict()
  c.prior = ('toy', 'autoencoder', 'clip', 'image_pretrain')
  c.arms = ('none', 'image')
  c.once = ()
  file, data = f'experiments/video_pretrain.py:{scale}', '{prior}/toy'
  c.each = {'none': base.arm(f'{file},scratch', ('{prior}/autoencoder', '{prior}/clip'), data),
            'image': base.arm(f'{file},low', ('{prior}/image_pretrain',), data)}
  return c
