"""Stage III, image-to-video with 14 frames: SVD.

    python -m svdjax.main --config experiments/i2v_14f.py:tiny,base --workdir runs/i2v_base \\
      --config.data.source=toy --config.init_from=runs/video_pretrain,runs/clip
    python -m svdjax.main --config experiments/i2v_14f.py:tiny --workdir runs/i2v_14f \\
      --config.data.source=toy --config.init_from=runs/i2v_base

SVD section 4.3 and appendix D: the CLIP image embedding replaces text, the noise-augmented first
frame is concatenated to every frame; 50k iterations at 320×576 with P_mean 0.7, P_std 1.6 (`base`),
then 50k at 576×1024 with P_mean 1.0; batch 768, lr 3e-5, EMA 0.9999.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, variant = base.parse(arg, ('high', 'base'))
  return image_to_video(scale, variant, sizes.FRAMES[scale]['short'])


def image_to_video(scale, variant, frames):
  """The image-to-video recipe, shared with i2v_25f."""
  c = base.add_diffusion(base.get_base(scale), p_mean={'base': 0.7, 'high': 1.}[variant],
                         p_std=1.6)
  c.model = sizes.networks(scale, 'unet', 'vae', 'clip_image',
                           in_channels=2 * sizes.VAE[scale]['latent_channels'])
  c.conditioning.context = 'image'
  c.conditioning.concat = 'first_frame'
  c.conditioning.scalars = ('fps', 'motion', 'cond_aug')
  c.conditioning.drop_image = 0.15  # ours: the paper drops text 15 %, and does not say for images
  c.handoff.dropped = ('clip_text/.*',)
  c.data.frames = frames
  c.data.captions = (1., 0., 0.)  # captions are not used
  c.train.batch_size = {'full': 768, 'small': 32, 'tiny': 8}[scale]
  c.train.ema = 0.9999 if scale == 'full' else 0.99
  c.optim.lr = {'full': 3e-5, 'small': 2e-4, 'tiny': 1e-3}[scale]
  c.sample.guidance = 'linear'
  c.sample.guidance_min, c.sample.guidance_max = 1., 2.5  # released SVD
  if variant == 'base':
    c.handoff.after = 'video_pretrain (variant high) and CLIP'
    c.sample.clips = 0 if scale == 'tiny' else 4
    c.handoff.fresh = ('unet/conv_in/kernel',)  # widened by the concatenated latent
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['mid']
    c.train.steps = {'full': 50_000, 'small': 4_000, 'tiny': 120}[scale]
  else:
    c.handoff.after = 'i2v_14f, variant base'
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['high']
    c.train.steps = {'full': 50_000, 'small': 2_000, 'tiny': 20}[scale]
    c.optim.decay = scale == 'tiny'  # as in pretraining
  return c
