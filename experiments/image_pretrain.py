"""Stage I: the image model changes from discrete noise levels to EDM's continuous ones.

    python -m svdjax.main --config experiments/image_pretrain.py:tiny,adapt \\
      --workdir runs/image_adapt --config.data.source=toy --config.init_from=runs/image_discrete
    python -m svdjax.main --config experiments/image_pretrain.py:tiny \\
      --workdir runs/image_pretrain --config.data.source=toy --config.init_from=runs/image_adapt

SVD appendix D: 31k iterations in all, of which the first 1k (`adapt`) at 512×512 train only the
layers that embed the noise level (ours: their projections in ResBlocks among them), and 30k all
layers at 256×384; P_mean -1.2, P_std 1.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, variant = base.parse(arg, ('all', 'adapt'))
  # tiny: an object's shape can be read through noise of 1 on its 48 latents (measured), so that
  # all that a caption decides is decided above.
  c = base.add_diffusion(base.get_base(scale), p_mean=-1.2 if scale != 'tiny' else 0.8, p_std=1.)
  c.model = sizes.networks(scale, 'unet', 'vae', 'clip_text', temporal='none', vector_dim=0)
  c.handoff.after = {'adapt': 'a discrete image model (image_discrete, or SD 2.1 converted)',
                     'all': 'image_pretrain, variant adapt'}[variant]
  c.handoff.dropped = ('clip_image/.*', 'clip_text/text_projection/.*')
  c.data.captions = (1., 0., 0.)  # a single frame shows no motion
  c.data.fps = c.data.fps[:1]
  c.data.drop_text = 0.1  # ours
  c.train.batch_size = {'full': 1536, 'small': 128, 'tiny': 64}[scale]  # full: ours, as stage II
  c.optim.lr = {'full': 1e-4, 'small': 3e-4, 'tiny': 1e-3}[scale]  # full: ours, as stage II
  c.train.ema = 0.9999 if scale == 'full' else 0.99
  c.sample.clips = 0 if scale == 'tiny' else 4
  if variant == 'adapt':
    c.handoff.precondition = 'v_discrete'  # SD 2.1; its 512-base-ema would be 'eps'
    c.train.trainable = ('unet/time_embedding/.*', 'unet/.*/time_emb_proj/.*')
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['image']
    c.train.steps = {'full': 1_000, 'small': 300, 'tiny': 10}[scale]
  else:
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['low']
    c.train.steps = {'full': 30_000, 'small': 3_000, 'tiny': 25}[scale]
  return c
