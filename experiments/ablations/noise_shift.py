"""Noise shifted up against not, where the resolution rises (SVD, section 4.1 and appendix D).

    bash launch/quickstart.sh
    python -m launch.ablate noise_shift --prior runs/quickstart --runs runs/ablation_noise_shift

Larger pictures are decided at higher noise. The paper goes from P_mean -1.2 to 0 with the step from
256×384 to 320×576; here the step is to twice the sides, which is a shift of ln 2 at equal
signal-to-noise ratio per object (recipe: ln sigma += 0.5 ln of the ratio of pixels).
"""

import ml_collections

from experiments import base, sizes

SHIFT = 0.69  # ln 2
STEPS = {'small': 4_000, 'tiny': 60}  # ours; at tiny more than in the quickstart, which has 20


def get_config(arg='tiny'):
  scale = base.miniature(arg)
  height, width = (2 * side for side in sizes.RESOLUTIONS[scale]['low'])
  c = ml_collections.ConfigDict()
  c.prior = ('video_low',)
  c.arms = ('same', 'shifted')
  kinds = '--kinds object:6,pointer:3,camera:1 --frames 16 --fps 12'
  c.once = (('large', 60, f'-m data.toyworld --output {{runs}}/large --clips 1000 --test-clips 100 '
             f'--height {height} --width {width} {kinds}'),)
  mean = -1.2 if scale != 'tiny' else 1.2  # of the stage before, experiments/video_pretrain.py
  arm = lambda shift: base.arm(
      f'experiments/video_pretrain.py:{scale},high', ('{prior}/video_low',), '{runs}/large',
      (f'data.height={height}', f'data.width={width}', f'diffusion.p_mean={mean + shift}',
       f'train.steps={STEPS[scale]}'), 400)
  c.each = {'same': arm(0.), 'shifted': arm(SHIFT)}
  return c
