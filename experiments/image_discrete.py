"""The image model that the paper starts from: latent diffusion with SD 2.1's discrete v objective.

    python -m svdjax.main --config experiments/image_discrete.py:tiny \\
      --workdir runs/image_discrete --config.data.source=toy \\
      --config.init_from=runs/autoencoder,runs/clip

At `full` this is Stable Diffusion 2.1 itself; convert its weights instead of training it. Its card
tells 550k steps at 256×256, 850k at 512×512, then 150k and 140k for v at 512×512 and 768×768, all
of batch 2048 at a rate of 1e-4 after 10k steps of warm-up.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, _ = base.parse(arg)
  c = base.add_diffusion(base.get_base(scale), precondition='v_discrete', sigma='discrete')
  c.model = sizes.networks(scale, 'unet', 'vae', 'clip_text', temporal='none', vector_dim=0)
  c.handoff.after = 'an autoencoder and CLIP'
  c.handoff.fresh = ('unet/.*',)
  c.handoff.dropped = ('clip_image/.*', 'clip_text/text_projection/.*')
  c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['image']
  c.data.captions = (1., 0., 0.)  # a single frame shows no motion
  c.data.fps = c.data.fps[:1]
  c.data.drop_text = 0.1  # SD 1's
  c.train.steps = {'full': 850_000, 'small': 6_000, 'tiny': 175}[scale]  # full: SD 2's at 512×512
  c.train.batch_size = {'full': 2048, 'small': 128, 'tiny': 64}[scale]
  c.train.ema = 0.9999 if scale == 'full' else 0.99
  c.sample.clips = 0 if scale == 'tiny' else 4
  c.optim.lr = {'full': 1e-4, 'small': 3e-4, 'tiny': 2e-3}[scale]
  return c
