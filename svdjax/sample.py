"""A video from a trained or converted checkpoint, an image and/or a prompt."""

import argparse
import json
import math
import pathlib
import re
import time

import numpy as np

from svdjax import sampling
from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import export, image as image_lib, motion, orbit
from svdjax.presets import PRESETS


def arguments(argv=None):
  """The command line, parsed."""
  parser = argparse.ArgumentParser(
      prog='python -m svdjax.sample', description='Samples videos from a checkpoint.')
  add = parser.add_argument
  add('--checkpoint', required=True, help='workdir of a trained stage, or converted checkpoint')
  add('--preset', choices=tuple(PRESETS),
      help='sampling settings of a released model; those of a converted checkpoint are its default')
  add('--image', help='photograph to start from (image-to-video)')
  add('--prompt', help='caption of the video (text-to-video)')
  add('--out', required=True, help='file to write, .mp4')
  add('--seed', type=int, default=0)
  add('--samples', type=int, default=1, help='videos to make; several get -0, -1, … in their names')
  add('--frames', type=int, help="default: the checkpoint's")
  add('--height', type=int, help="default: the checkpoint's")
  add('--width', type=int, help="default: the checkpoint's")
  add('--fps', type=float, help='frame rate, of the file and as conditioning')
  add('--motion', type=float, help='motion bucket, 0 to 255; default: 127')
  add('--cond-aug', type=float, help='noise on the conditioning image; default: 0.02, SV3D 1e-5')
  add('--elevation', type=float, nargs='+', default=[10.], metavar='DEGREES',
      help='of the camera, one or one for each frame (SV3D_p)')
  add('--azimuths', type=float, nargs='+', metavar='DEGREES',
      help='of the camera in each frame; default: one turn (SV3D_p)')
  add('--dtype', choices=('float32', 'bfloat16'), help="of the UNet; default: the checkpoint's")
  sampling.add_arguments(add)
  add('--split-frames', type=int, default=1, metavar='N', help='devices that share one clip')
  add('--decoder', help='workdir whose autoencoder decodes instead, e.g. the temporal decoder')
  add('--lora', help='LoRA file (diffusers or PEFT names) to add to the UNet')
  add('--lora-scale', type=float, default=1., help='how much of it')
  add('--raw', action='store_true', help='raw weights instead of their moving average')
  add('--gif', action='store_true', help='also write a GIF')
  add('--strip', action='store_true', help='also write a PNG film strip')
  return parser.parse_args(argv)


def check(args):
  """Raises BadInput for arguments that are wrong whatever the checkpoint is."""
  export.check_writable(args.out)
  if pathlib.Path(args.out).suffix != '.mp4':
    raise BadInput(f'--out {args.out} does not end in .mp4: name an mp4 file')
  if args.samples < 1:
    raise BadInput(f'--samples must be at least 1, not {args.samples}')
  if args.motion is not None and not 0 <= args.motion <= 255:
    raise BadInput(f'--motion {args.motion:g} is outside 0 to 255: 127 is average motion')
  if args.fps is not None and not 1 < args.fps <= 240:
    raise BadInput(f'--fps {args.fps:g} is not a frame rate: use more than 1 and at most 240')
  if args.cond_aug is not None and not 0 <= args.cond_aug < math.inf:
    raise BadInput(f'--cond-aug {args.cond_aug:g} is out of range: use 0 or more')
  sampling.check(args)


def check_conditions(args, config):
  """Raises BadInput where image and prompt are not what the checkpoint is conditioned on."""
  if config.task != 'denoising':
    raise BadInput(f'checkpoint {args.checkpoint} is of task {config.task}, which makes no video: '
                   'give one of text-to-video or image-to-video')
  needs = {'prompt': config.conditioning.context == 'text',
           'image': config.conditioning.context == 'image' or bool(config.conditioning.concat)}
  for name, needed in needs.items():
    given = getattr(args, name) is not None
    if needed and not given:
      raise BadInput(f'checkpoint {args.checkpoint} is conditioned on a {name}: pass --{name}')
    if given and not needed:
      other = 'image' if name == 'prompt' else 'prompt'
      raise BadInput(f'checkpoint {args.checkpoint} takes no {name}: drop --{name} and pass '
                     f'--{other}, or use a checkpoint trained with it')


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
  many = lambda x: np.repeat(np.asarray(x)[None], args.samples, axis=0)
  preset = preset_of(args, config) or PRESETS['svd']
  pick = lambda given, default: np.float32(default if given is None else given)
  fps = args.fps or (preset.fps if args.preset else min(config.data.fps))
  inputs = {'fps': many(np.float32(fps - 1)), 'motion': many(pick(args.motion, preset.motion)),
            'cond_aug': many(pick(args.cond_aug, preset.cond_aug))}
  if args.image is not None and is_orbit(config):
    inputs['image'] = many(orbit.load_object(args.image, chosen.height))
    polar, azimuth = orbit.cameras(chosen.frames, args.elevation, args.azimuths)
    inputs |= {'polar': many(polar), 'azimuth': many(azimuth)}
  elif args.image is not None:
    image = image_lib.load_image(args.image)
    inputs['image'] = many(image_lib.fit_image(image, chosen.height, chosen.width))
  if args.prompt is not None:
    inputs['tokens'] = many(tokenizer([args.prompt])[0])
    inputs['empty_tokens'] = many(tokenizer([''])[0])
  return inputs, fps


def is_orbit(config):
  """Whether the model turns around an object (SV3D), which no frame rate describes."""
  return config.conditioning.context == 'image' and 'fps' not in config.conditioning.scalars and (
      'cond_aug' in config.conditioning.scalars)


def load(args):
  """(config, networks, parameters, tokenizer) of the checkpoint, its decoder exchanged if asked."""
  from svdjax import checkpoint
  from svdjax.models.tokenizer import Tokenizer
  from svdjax.tasks import parts as parts_lib
  config, params, step = checkpoint.load(args.checkpoint, ema=not args.raw)
  check_conditions(args, config)
  if args.decoder:
    other, replacement, _ = checkpoint.load(args.decoder, ema=not args.raw)
    if 'vae' not in other.model:
      raise BadInput(f'--decoder {args.decoder} has no autoencoder: name the workdir of one')
    scale, config.model.vae = config.model.vae.scale, other.model.vae
    config.model.vae.scale = scale
    params = {n: x for n, x in params.items() if not n.startswith('vae/')}
    params |= {n: x for n, x in replacement.items() if n.startswith('vae/')}
  if args.lora:
    params = with_lora(args, config, params)
  assets = pathlib.Path(args.checkpoint) / 'assets'
  tokenizer = Tokenizer.load(assets) if 'clip_text' in config.model else None
  return config, parts_lib.build(config.model), params, tokenizer, step


def with_lora(args, config, params):
  """The parameters with --lora merged into the UNet."""
  from svdjax.convert import lora as lora_file, mapping
  from svdjax.models import lora
  kernels = {n: x.shape for n, x in params.items() if re.fullmatch(lora.ATTENTION, n)}
  factors, scales = lora_file.load(args.lora, kernels, mapping.depth('unet', config.model.unet))
  return lora.merge(params, factors, {n: args.lora_scale * x for n, x in scales.items()})


def main(argv=None):
  """Samples and writes the files."""
  args = arguments(argv)
  check(args)
  platform.configure()
  from svdjax import checkpoint, generate
  from svdjax.core import mesh
  from svdjax.core.progress import Progress
  from svdjax.core.rng import key_of
  from svdjax.validate import check_sampling_memory

  check_conditions(args, checkpoint.load_config(args.checkpoint))
  config, parts, params, tokenizer, step = load(args)
  chosen = sampling.settings_of(args, config)
  if args.dtype:
    config.train.dtype = args.dtype
  inputs, fps = inputs_of(args, config, chosen, tokenizer)
  with mesh.use({'data': 1, 'fsdp': 1, 'frame': args.split_frames}):
    check_sampling_memory(config, parts, params, chosen, inputs)
    began, generator = time.monotonic(), generate.build(config, parts, chosen)
    with Progress(chosen.steps, 0, 'sampling') as bar:
      videos = np.asarray(generate.run(generator, params, inputs, key_of(args.seed, 'sample'),
                                       bar.update))
  if is_orbit(config):  # the last view is the given one
    last = np.uint8(np.round((inputs['image'] + 1) * 127.5))[:, None]
    videos = np.concatenate([videos[:, :-1], last], axis=1)
  metadata = {'checkpoint': str(args.checkpoint), 'step': step, 'seed': args.seed,
              'prompt': args.prompt, 'image': args.image, 'fps': fps,
              'motion': float(inputs['motion'][0]), 'cond_aug': float(inputs['cond_aug'][0]),
              **vars(chosen)}
  for i, frames in enumerate(videos):
    write(args, i, frames, fps, metadata | {'sample': i})
  print(f'{len(videos)} x {chosen.frames} frames in {time.monotonic() - began:.1f} s')


def write(args, i, frames, fps, metadata):
  """Writes one sample under its name, with the settings inside the file."""
  out = pathlib.Path(args.out)
  if args.samples > 1:
    out = out.with_name(f'{out.stem}-{i}.mp4')
  score = motion.motion_score(frames, fps) if len(frames) > 1 else 0.
  export.write_mp4(out, frames, fps, {'comment': json.dumps(metadata)})
  print(f'{out}  motion {score:.4f} of the diagonal per second')
  if args.gif:
    export.write_gif(out.with_suffix('.gif'), frames, fps)
  if args.strip:
    export.write_png(out.with_suffix('.png'), export.film_strip([frames]))


if __name__ == '__main__':
  run_command(main)
