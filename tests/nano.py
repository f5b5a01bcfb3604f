"""Every experiment at `tiny` with networks so small that a stage trains in seconds.

    python -m svdjax.main --config tests/nano.py:i2v_14f,base --workdir DIR ...

The argument is the experiment's name and, after a comma, its variant.
"""

import importlib

UNET = dict(channels=(16,), attention=(False,), groups=4, head_dim=8, context_dim=16)
VAE = dict(channels=(8, 8), groups=4)
CLIP = dict(width=16, layers=1, heads=2, mlp=32, projection=16)


def get_config(arg):
  name, _, variant = arg.partition(',')
  experiment = importlib.import_module(f'experiments.{name}')
  c = experiment.get_config(f'tiny,{variant}' if variant else 'tiny')
  for network, sizes in (('unet', UNET), ('vae', VAE), ('clip_image', CLIP), ('clip_text', CLIP)):
    if network in c.model:
      c.model[network].update(sizes)
  if 'clip_image' in c.model:
    c.model.clip_image.update(patch=8, size=16)
  if c.model.get('unet', {}).get('vector_dim'):
    c.model.unet.vector_dim = 8 * len(c.conditioning.scalars)
  c.data.height, c.data.width = 16, 24
  c.data.frames = min(c.data.frames, 3)
  c.train.update(steps=3, batch_size=2, log_every=1)
  c.optim.warmup = 2
  c.mesh.data = 1
  c.sample.update(clips=0, steps=2)
  return c
