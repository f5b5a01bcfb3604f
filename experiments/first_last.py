"""Image-to-video between a first and a last frame: interpolation's conditioning on a whole clip.

    python -m svdjax.main --config experiments/first_last.py:tiny --workdir runs/first_last \\
      --config.data.source=toy --config.init_from=runs/t2v,runs/clip

Not in the paper: interpolation (appendix D.5) with 14 frames and the noise levels of
image-to-video; `svdjax.sample --image FIRST LAST`.
"""

from experiments import base, interpolation, sizes


def get_config(arg='full'):
  scale, _ = base.parse(arg)
  c = interpolation.between_two(scale, sizes.FRAMES[scale]['short'])
  c.handoff.after = 't2v_hq and CLIP'
  c.diffusion.p_mean, c.diffusion.p_std = 1., 1.6  # image-to-video's
  c.train.steps = {'full': 50_000, 'small': 4_000, 'tiny': 600}[scale]
  c.train.batch_size = {'full': 768, 'small': 32, 'tiny': 8}[scale]
  c.optim.lr = {'full': 3e-5, 'small': 2e-4, 'tiny': 1e-3}[scale]
  c.sample.guidance_max = 2.5
  return c
