"""Stage II: text-to-video pretraining on the curated dataset, at two resolutions.

    python -m svdjax.main --config experiments/video_pretrain.py:tiny --workdir runs/video_low \\
      --config.data.source=toy --config.init_from=runs/image_pretrain
    python -m svdjax.main --config experiments/video_pretrain.py:tiny,high \\
      --workdir runs/video_pretrain --config.data.source=toy --config.init_from=runs/video_low
    python -m svdjax.main --config experiments/video_pretrain.py:tiny,scratch \\
      --workdir runs/video_scratch --config.data.source=toy \\
      --config.init_from=runs/autoencoder,runs/clip

SVD section 4.1 and appendix D: temporal layers are inserted into the image model and *all* weights
trained: 150k iterations at 256×384 with batch 1536, then 100k at 320×576 with batch 768 and the
noise distribution shifted to P_mean 0; lr 1e-4; text dropped 15 %; fps and motion conditioning.
`scratch` is `low` without an image prior, the comparison of section 3.2.
"""

from experiments import base, sizes

TEMPORAL = ('unet/.*(temporal_|time_mixer|time_pos_embed).*', 'unet/add_embedding/.*')


def get_config(arg='full'):
  scale, variant = base.parse(arg, ('low', 'high', 'scratch'))
  # P_std 1.0 is the appendix's figure; "the standard EDM schedule" would have 1.2 (recipe 1.0).
  p_mean = 0. if variant == 'high' else -1.2
  # tiny: few latents, decided at higher noise; see image_pretrain.
  c = base.add_diffusion(base.get_base(scale), p_mean=p_mean if scale != 'tiny' else 1.2, p_std=1.)
  c.model = sizes.networks(scale, 'unet', 'vae', 'clip_text')
  # The released vector has three scalars; text-to-video stages leave cond_aug at 0.
  c.conditioning.scalars = ('fps', 'motion', 'cond_aug')
  c.data.frames = sizes.FRAMES[scale]['short']
  c.data.drop_text = 0.15
  if scale == 'tiny':
    c.data.captions = (0.2, 0.3, 0.5)  # ours: more of those that tell the motion
  c.handoff.dropped = ('clip_image/.*', 'clip_text/text_projection/.*')
  c.train.ema = 0.9999 if scale == 'full' else 0.99
  c.sample.clips = 0 if scale == 'tiny' else 4
  c.optim.lr = {'full': 1e-4, 'small': 2e-4, 'tiny': 1e-3}[scale]
  if variant != 'high':
    c.handoff.after, c.handoff.fresh = {
        'low': ('image_pretrain', TEMPORAL),
        'scratch': ('an autoencoder and CLIP', ('unet/.*',))}[variant]
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['low']
    c.train.steps = {'full': 150_000, 'small': 4_000, 'tiny': 260}[scale]
    c.train.batch_size = {'full': 1536, 'small': 32, 'tiny': 8}[scale]
  else:
    c.handoff.after = 'video_pretrain, variant low'
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['mid']
    c.train.steps = {'full': 100_000, 'small': 4_000, 'tiny': 40}[scale]
    c.optim.decay = scale == 'tiny'  # ours: short stages end better with small steps
    c.train.batch_size = {'full': 768, 'small': 32, 'tiny': 8}[scale]
  return c
