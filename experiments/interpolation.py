"""Frame interpolation: three frames between two, so four times the frame rate.

    python -m svdjax.main --config experiments/interpolation.py:tiny --workdir runs/interpolation \\
      --config.data.source=toy --config.init_from=runs/t2v,runs/clip

SVD section 4.4 and appendix D.5: finetuned from text-to-video (the section says the high-resolution
model, the appendix the base one) with AdamW, lr 1e-4, 10k iterations, batch 256, P_mean 1.0, P_std
1.2, EMA 0.9999. Latents of the two given frames with noise, a learned latent between them and a
mask are concatenated, 4 + 4 + 1 channels; CLIP sees both ends.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, _ = base.parse(arg)
  c = between_two(scale, frames=5)
  c.handoff.after = 't2v_hq and CLIP'
  c.data.fps = {'full': (24., 30.), 'small': (8., 4.), 'tiny': (6., 4.)}[scale]  # ours
  c.train.steps = {'full': 10_000, 'small': 3_000, 'tiny': 600}[scale]
  c.train.batch_size = {'full': 256, 'small': 32, 'tiny': 8}[scale]
  c.optim.lr = {'full': 1e-4, 'small': 2e-4, 'tiny': 1e-3}[scale]
  return c


def between_two(scale, frames):
  """The conditioning on a first and a last frame."""
  c = base.add_diffusion(base.get_base(scale), p_mean=1., p_std=1.2)
  c.model = sizes.networks(scale, 'unet', 'vae', 'clip_image',
                           in_channels=2 * sizes.VAE[scale]['latent_channels'] + 1)
  c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['high']
  c.model.mask = sizes.mask(scale, (c.data.height, c.data.width))
  c.conditioning.context = 'ends'
  c.conditioning.concat = 'masked'
  c.conditioning.scalars = ('fps', 'motion', 'cond_aug')
  # The noise on the given latents is not stated: its level is drawn as image-to-video's (ours).
  c.conditioning.drop_image = 0.15  # ours; nothing is said of guidance here
  c.train.trainable = ('unet/.*', 'mask/.*')
  c.train.ema = 0.9999 if scale == 'full' else 0.99
  c.optim.decay = scale == 'tiny'  # ours: short stages end better with small steps
  c.handoff.fresh = ('mask/.*', 'unet/conv_in/kernel')  # widened by latent and mask
  c.handoff.dropped = ('clip_text/.*',)
  c.data.frames = frames
  c.data.captions = (1., 0., 0.)  # captions are not used
  c.sample.guidance_max = 1.5  # ours
  return c
