"""The config.json of a converted checkpoint: what sampling from it and starting from it need."""

from ml_collections import ConfigDict

from svdjax.core.errors import BadInput
from svdjax.presets import POSED, PRESETS

PIPELINES = ('image-to-video', 'text-to-video', 'text-to-image')
# Of text models: SD 2.1's discrete grid, and guidance of the paper's evaluation (recipe 1.0).
TEXT = dict(steps=25, guidance='constant', guidance_min=1., guidance_max=7., decode_chunk=14)


def preset_of(asked, told):
  """The preset asked for, else the one that the model's sizes tell; BadInput if they disagree.

  Args:
    asked: name or None.
    told: name, or '' of a model unlike any released one.
  """
  if asked and not told:
    raise BadInput(f'--preset {asked} is of a released model, and this one is told '
                   f'{", ".join(POSED)}: drop it')
  if asked and PRESETS[asked].scalars != PRESETS[told].scalars:
    scalars = ', '.join(PRESETS[asked].scalars)
    raise BadInput(f'--preset {asked} is of a model that is told {scalars}; this one is like '
                   f'{told}: use that')
  return asked or told


def config(kind, model, dtype, preset=None, sigmas=(0.002, 700.), precondition='edm_v'):
  """The config of a converted checkpoint.

  Args:
    kind: one of PIPELINES.
    model: {network: its sizes}.
    dtype: numpy dtype of the weights; 16-bit weights are computed with in bfloat16.
    preset: name of the released model that an image-to-video model is sampled like, or ''.
    sigmas: smallest and largest noise level of sampling.
    precondition: of the denoiser, a name in precondition.PRECONDITIONS.
  """
  chosen = PRESETS[preset] if preset else PRESETS['svd']
  video, text = kind != 'text-to-image', kind != 'image-to-video'
  settings = chosen.settings | (TEXT if text else {})
  size = {name: settings.pop(name) for name in ('frames', 'height', 'width')}
  c = ConfigDict()
  c.task, c.scale, c.seed = 'denoising', 'full', 0
  c.model = {name: dict(sizes) for name, sizes in model.items()}
  c.data = dict(size if video else size | dict(frames=1, height=512, width=512), fps=(chosen.fps,))
  c.train = dict(dtype='bfloat16' if dtype.itemsize == 2 else 'float32')
  c.diffusion = dict(precondition=precondition, sigma='lognormal' if video else 'discrete')
  c.conditioning = dict(
      context='text' if text else 'image', concat='' if text else 'first_frame',
      scalars=chosen.scalars if video and model['unet']['vector_dim'] else ())
  c.sample = settings | dict(sampler='euler', sigma_min=sigmas[0], sigma_max=sigmas[1])
  c.preset = preset if kind == 'image-to-video' else ''
  return c


def clip(model, dtype):
  """The config of a converted CLIP: `model` and `dtype` as of `config`."""
  c = ConfigDict()
  c.task, c.scale, c.seed, c.preset = 'contrastive', 'full', 0, ''
  c.model = {name: dict(sizes) for name, sizes in model.items()}
  c.train = dict(dtype='bfloat16' if dtype.itemsize == 2 else 'float32')
  return c


def pose(config, side):
  """Makes it the config of a posed multi-view model, whose pictures have `side` pixels a side."""
  config.conditioning.scalars, config.preset = POSED, ''
  config.data.update(height=side, width=side)
  config.sample.guidance = 'triangle'  # as such models are trained here, SV3D's
