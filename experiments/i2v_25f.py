"""Stage III, image-to-video with 25 frames: SVD-XT.

    python -m svdjax.main --config experiments/i2v_25f.py:tiny --workdir runs/i2v_25f \\
      --config.data.source=toy --config.init_from=runs/i2v_14f

As i2v_14f at 576×1024, with 25 frames. The paper starts it from the 14-frame model at 320×576, the
model card from SVD; released guidance is 1.5 to 3 in 30 steps.
"""

from experiments import base, i2v_14f, sizes


def get_config(arg='full'):
  scale, _ = base.parse(arg)
  c = i2v_14f.image_to_video(scale, 'high', sizes.FRAMES[scale]['long'])
  c.handoff.after = 'i2v_14f'
  c.train.steps = {'full': 50_000, 'small': 1_500, 'tiny': 100}[scale]
  c.optim.decay = scale == 'tiny'  # as in i2v_14f
  c.sample.guidance_min, c.sample.guidance_max = 1.5, 3.
  c.sample.steps = 30
  return c
