"""Stage III, text-to-video: finetuning on a small high-quality dataset at the final resolution.

    python -m svdjax.main --config experiments/t2v_hq.py:tiny --workdir runs/t2v \\
      --config.data.source=toy --config.init_from=runs/video_pretrain

SVD section 4.2 and appendix D: 50k iterations at 576×1024, batch 768, lr 3e-5, P_mean 0.5,
P_std 1.4, EMA 0.9999, about 1 million clips.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, _ = base.parse(arg)
  c = base.add_diffusion(base.get_base(scale), p_mean=0.5, p_std=1.4)
  c.model = sizes.networks(scale, 'unet', 'vae', 'clip_text')
  c.conditioning.scalars = ('fps', 'motion', 'cond_aug')
  c.handoff.after = 'video_pretrain, variant high'
  c.handoff.dropped = ('clip_image/.*', 'clip_text/text_projection/.*')
  c.data.frames = sizes.FRAMES[scale]['short']
  c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['high']
  if scale == 'tiny':
    c.data.captions = (0.2, 0.3, 0.5)  # as in pretraining
  c.data.drop_text = 0.15  # as in pretraining; not stated for this stage
  c.train.steps = {'full': 50_000, 'small': 2_000, 'tiny': 20}[scale]
  c.train.batch_size = {'full': 768, 'small': 32, 'tiny': 8}[scale]
  c.train.ema = 0.9999 if scale == 'full' else 0.99
  c.optim.decay = scale == 'tiny'  # as in pretraining
  c.optim.lr = {'full': 3e-5, 'small': 1e-4, 'tiny': 1e-3}[scale]
  return c
