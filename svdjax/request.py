"""What a user asks of a checkpoint: whether it can be given that, and its conditioning inputs."""

import numpy as np

from svdjax.core.errors import BadInput
from svdjax.inputs import image as image_lib, orbit
from svdjax.presets import PRESETS


def check_conditions(args, config):
  """Raises BadInput where images and prompt are not what the checkpoint is conditioned on."""
  if config.task != 'denoising':
    raise BadInput(f'checkpoint {args.checkpoint} is of task {config.task}, which makes no video: '
                   'give one of text-to-video or image-to-video')
  told = config.conditioning
  if args.interpolate and told.concat != 'masked':
    raise BadInput(f'--interpolate needs a checkpoint that is given a first and a last frame, and '
                   f'{args.checkpoint} is not: use one trained with experiments/interpolation.py')
  images = {'text': 0, 'image': 1, 'ends': 2}[told.context]
  needs = {'prompt': told.context == 'text', 'image': bool(images) and not args.interpolate}
  for name, needed in needs.items():
    given = getattr(args, name) is not None
    if needed and not given:
      what = 'an image' if name == 'image' else 'a prompt'
      raise BadInput(f'checkpoint {args.checkpoint} is conditioned on {what}: pass --{name}')
    if given and not needed:
      other = 'image' if name == 'prompt' else 'prompt'
      if args.interpolate:
        other = 'interpolate'
      raise BadInput(f'checkpoint {args.checkpoint} takes no {name}: drop --{name} and pass '
                     f'--{other}, or use a checkpoint trained with it')
  if args.temporal_prompt is not None and (
      told.context != 'text' or config.model.unet.temporal == 'none'):
    raise BadInput(f'checkpoint {args.checkpoint} has no layers between frames that read a prompt: '
                   'drop --temporal-prompt, or use a text-to-video checkpoint')
  check_elevation(args, told.scalars)
  check_scalars(args, config)
  if args.image and len(args.image) != images:
    wanted = '--image FIRST LAST' if images == 2 else 'one --image'
    raise BadInput(f'checkpoint {args.checkpoint} starts from {images} image'
                   f'{"s" * (images > 1)}, not {len(args.image)}: pass {wanted}')


def check_scalars(args, config):
  """Raises BadInput for numbers that the checkpoint is not told and that would change nothing."""
  told = config.conditioning
  for name, field, heard in (
      ('--motion', 'motion', 'motion' in told.scalars),
      ('--cond-aug', 'cond_aug', bool(told.concat)),
      ('--azimuths', 'azimuths', 'azimuth' in told.scalars)):
    if getattr(args, field) is not None and not heard:
      raise BadInput(f'checkpoint {args.checkpoint} is not conditioned on what {name} says, so '
                     'that it would change nothing: drop it')


def check_elevation(args, scalars):
  """Raises BadInput where the camera's elevation is missing, superfluous or impossible."""
  if 'elevation' in scalars and len(args.elevation or ()) != 1:
    raise BadInput(f'checkpoint {args.checkpoint} is conditioned on the elevation of the camera, '
                   f'one for all views, and {len(args.elevation or ())} are given: pass '
                   '--elevation DEGREES, 0 for a picture taken level with the object')
  if args.elevation and not {'elevation', 'polar'} & set(scalars):
    raise BadInput(f'checkpoint {args.checkpoint} takes no elevation: drop --elevation, or use a '
                   'checkpoint trained with experiments/multiview.py')
  if not all(-90 <= e <= 90 for e in args.elevation or ()):
    raise BadInput(f'--elevation {args.elevation} is beyond the poles: use -90 to 90 degrees')


def preset_of(args, config):
  """The Preset named on the command line or by a converted checkpoint, or None.

  Raises:
    BadInput: it is of a model with other conditions.
  """
  name = args.preset or ('preset' in config and config.preset)
  if not name:
    return None
  told, knows = PRESETS[name].scalars, tuple(config.conditioning.scalars)
  if config.conditioning.context != 'image' or told != knows:
    raise BadInput(f'--preset {name} is of an image-to-video model that is told {", ".join(told)}; '
                   f'checkpoint {args.checkpoint} is told {", ".join(knows) or "nothing"}: use '
                   'another preset')
  return PRESETS[name]


def inputs_of(args, config, chosen, tokenizer):
  """Conditioning inputs of all samples: every field with a leading axis of `samples`."""
  many = lambda x: np.broadcast_to(np.asarray(x)[None], (args.samples, *np.shape(x)))
  preset = preset_of(args, config) or PRESETS['svd']
  pick = lambda given, default: np.float32(default if given is None else given)
  fps = args.fps or (preset.fps if args.preset else min(config.data.fps))
  noise = preset.cond_aug if config.conditioning.concat else 0.  # as in training
  inputs = {'fps': many(np.float32(fps - 1)), 'motion': many(pick(args.motion, preset.motion)),
            'cond_aug': many(pick(args.cond_aug, noise))}
  if 'elevation' in config.conditioning.scalars or args.image and is_orbit(config):
    inputs |= {name: many(x) for name, x in object_inputs(args, config, chosen).items()}
  else:
    for name, path in zip(('image', 'last_image'), args.image or ()):
      image = image_lib.load_image(path)
      inputs[name] = many(image_lib.fit_image(image, chosen.height, chosen.width))
  if args.prompt is not None:
    inputs['tokens'] = many(tokenizer([args.prompt])[0])
    inputs['empty_tokens'] = many(tokenizer([''])[0])
  if args.temporal_prompt is not None:
    inputs['temporal_tokens'] = many(tokenizer([args.temporal_prompt])[0])
  return inputs, fps


def object_inputs(args, config, chosen):
  """The picture of an object and where cameras stand around it, without an axis of samples.

  Raises:
    BadInput: views that are not square, or as of `orbit`.
  """
  if chosen.height != chosen.width:
    raise BadInput(f'views of an object are square, not {chosen.height}x{chosen.width}: pass '
                   '--height and --width alike')
  inputs = {'image': orbit.load_object(args.image[0], chosen.height)}
  if 'elevation' in config.conditioning.scalars:
    return inputs | {'elevation': np.float32(args.elevation[0])}
  polar, azimuth = orbit.cameras(chosen.frames, args.elevation or (10.,), args.azimuths)
  return inputs | {'polar': polar, 'azimuth': azimuth}


def is_orbit(config):
  """Whether the model turns around an object (SV3D), which no frame rate describes."""
  return config.conditioning.context == 'image' and 'fps' not in config.conditioning.scalars and (
      'cond_aug' in config.conditioning.scalars)
