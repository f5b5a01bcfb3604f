"""CLIP's two towers, contrastively, on frames and captions.

    python -m svdjax.main --config experiments/clip.py:tiny --workdir runs/clip \\
      --config.data.source=toy

`full` is OpenCLIP ViT-H/14's size (laion2b_s32b_b79k: 32 billion samples in batches of 79k); users
convert its weights instead. It also makes the tokenizer from the captions of the data.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, _ = base.parse(arg)
  c = base.get_base(scale)
  c.task = 'contrastive'
  c.model = sizes.networks(scale, 'clip_image', 'clip_text')
  c.model.clip_text.projection = c.model.clip_image.projection
  c.clip = dict(temperature=0.07)  # where CLIP's begins, which learns it; fixed here (ours)
  c.handoff.fresh = ('clip_image/.*', 'clip_text/.*')
  c.train.trainable = ('clip_image/.*', 'clip_text/.*')
  c.train.ema = 0.99
  c.data.captions = (0.4, 0.3, 0.3)  # later stages read all three
  c.data.fps = c.data.fps[:1]
  c.train.steps = {'full': 400_000, 'small': 3_000, 'tiny': 125}[scale]
  c.train.batch_size = {'full': 79_872, 'small': 256, 'tiny': 64}[scale]  # full: about the 79k of its name
  c.optim.lr = {'full': 5e-4, 'small': 5e-4, 'tiny': 1e-3}[scale]  # ours, as average and decay
  c.optim.decay = True
  return c
