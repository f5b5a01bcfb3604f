"""Video prior against image prior against none, for multi-view (SVD, section 4.5).

    bash launch/quickstart.sh
    python -m launch.ablate multiview --prior runs/quickstart --runs runs/ablation_multiview

The paper finetunes the same network on the same orbits for the same number of steps from the
image-to-video model, from the image model and from random weights; the first is ahead already after
1k of 12k steps. All arms share the autoencoder, whose decoder sees the orbits first.
"""

import ml_collections

from experiments import base

STEPS = {'small': 2_000, 'tiny': 300}  # ours; enough to tell the arms apart
OBJECTS = {'small': (2000, 200, 96), 'tiny': (400, 60, 48)}  # train, test, pixels; ours


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  train, test, side = OBJECTS[scale]
  c = ml_collections.ConfigDict()
  c.prior = ('toy', 'autoencoder', 'clip', 'image_pretrain', 'i2v_14f')
  c.arms = ('scratch', 'image', 'video')  # differences are to the first
  data, decoder, longer = '{runs}/orbits', '{runs}/orbit_decoder', '{runs}/i2v_25f'
  stage = lambda name, seconds, file, source, init: (name, seconds, (
      f'-m svdjax.main --config experiments/{file} --workdir {{runs}}/{name} '
      f'--config.data.source={source} --config.init_from={{prior}}/{init}'))
  c.once = (
      ('orbits', 60, f'-m data.toyworld --output {data} --kinds turntable --clips {train} '
       f'--test-clips {test} --frames 21 --height {side} --width {side}'),
      stage('orbit_decoder', 200, f'autoencoder.py:{scale},decoder', data, 'autoencoder'),
      stage('i2v_25f', 150, f'i2v_25f.py:{scale}', '{prior}/toy', 'i2v_14f'))
  file, steps = f'experiments/multiview.py:{scale}', (f'train.steps={STEPS[scale]}',)
  arm = lambda variant, *init: base.arm(f'{file},{variant}', (decoder, *init), data, steps)
  c.each = {'scratch': arm('scratch', '{prior}/clip'),
            'image': arm('image', '{prior}/image_pretrain', '{prior}/clip'),
            'video': arm('posed', longer)}
  return c
