"""A video from a trained or converted checkpoint, an image and/or a prompt."""

import argparse
import json
import math
import pathlib
import time

import numpy as np

from svdjax import sampling
from svdjax.core import places, platform
from svdjax.core.errors import BadInput, run_command
from svdjax.inputs import export, motion
from svdjax.presets import PRESETS
from svdjax.request import check_conditions, inputs_of, is_orbit


def arguments(argv=None):
  """The command line, parsed."""
  parser = argparse.ArgumentParser(
      prog='python -m svdjax.sample', description='Samples videos from a checkpoint.',
      usage='%(prog)s --checkpoint DIR (--image FILE | --prompt TEXT) --out FILE.mp4 [OPTION …]')
  add = parser.add_argument
  add('--checkpoint', required=True, help='workdir of a trained stage, or converted checkpoint')
  add('--preset', choices=tuple(PRESETS),
      help='sampling settings of a released model; those of a converted checkpoint are its default')
  add('--image', nargs='+', metavar='FILE',
      help='photograph to start from (image-to-video), or the first and the last frame')
  add('--interpolate', metavar='VIDEO', help='clip to make frames between the frames of')
  add('--prompt', help='caption of the video (text-to-video)')
  add('--temporal-prompt', metavar='PROMPT',
      help='caption for the layers between frames, e.g. of the motion alone (text-to-video)')
  add('--length', type=int, help='frames in all, made of several clips')
  add('--overlap', type=int, help='frames that clips of a longer video share; default: 1')
  add('--out', required=True, help='file to write, .mp4')
  add('--seed', type=int, default=0)
  add('--samples', type=int, default=1, help='videos to make; several get -0, -1, … in their names')
  add('--frames', type=int, help="default: the checkpoint's")
  add('--height', type=int, help="default: the checkpoint's")
  add('--width', type=int, help="default: the checkpoint's")
  add('--fps', type=float, help='frame rate, of the file and as conditioning')
  add('--motion', type=float, help='motion bucket, 0 to 255; default: 127')
  add('--cond-aug', type=float, help='noise on the conditioning image; default: 0.02, SV3D 1e-5')
  add('--elevation', type=float, nargs='+', metavar='DEGREES',
      help='of the camera above the object (multi-view); one a frame or 10 by default (SV3D_p)')
  add('--azimuths', type=float, nargs='+', metavar='DEGREES',
      help='of the camera in each frame; default: one turn (SV3D_p)')
  add('--dtype', choices=('float32', 'bfloat16'), help="of the UNet; default: the checkpoint's")
  sampling.add_arguments(add)
  add('--split-frames', type=int, default=1, metavar='N', help='devices that share one clip')
  add('--decoder', help='workdir whose autoencoder decodes instead, e.g. the temporal decoder')
  add('--lora', metavar='FILE[:WEIGHT],…',
      help='LoRA files (diffusers or PEFT names) to add to the UNet, and how much of each')
  add('--raw', action='store_true', help='raw weights instead of their moving average')
  add('--gif', action='store_true', help='also write a GIF')
  add('--strip', action='store_true', help='also write a PNG film strip')
  return parser.parse_args(argv)


def check(args):
  """Raises BadInput for arguments that are wrong whatever the checkpoint is; writes nothing."""
  with places.unmade(pathlib.Path(args.out).parent):
    export.check_writable(args.out)
  if pathlib.Path(args.out).suffix != '.mp4':
    raise BadInput(f'--out {args.out} does not end in .mp4: name an mp4 file')
  for name, value in (('--samples above 1', args.samples > 1), ('--length', args.length)):
    if args.interpolate and value:
      raise BadInput(f'{name} and --interpolate do not go together: drop one of them')
  if args.overlap is not None and args.length is None:
    raise BadInput('--overlap is of videos made of several clips: pass --length too, or drop it')
  if args.samples < 1:
    raise BadInput(f'--samples must be at least 1, not {args.samples}')
  if args.motion is not None and not 0 <= args.motion <= 255:
    raise BadInput(f'--motion {args.motion:g} is outside 0 to 255: 127 is average motion')
  if args.fps is not None and not 1 < args.fps <= 240:
    raise BadInput(f'--fps {args.fps:g} is not a frame rate: use more than 1 and at most 240')
  if args.cond_aug is not None and not 0 <= args.cond_aug < math.inf:
    raise BadInput(f'--cond-aug {args.cond_aug:g} is out of range: use 0 or more')
  sampling.check(args)
  if args.lora:
    from svdjax.convert import lora
    lora.parse(args.lora)


def describe(args):
  """(config, {parameter: Spec}) of the checkpoint, its decoder exchanged if asked; nothing is read.

  Raises:
    BadInput: it cannot make what is asked for.
  """
  from svdjax import checkpoint
  config = checkpoint.load_config(args.checkpoint)
  check_conditions(args, config)
  found = checkpoint.specs(args.checkpoint, ema=not args.raw)
  if args.decoder:
    other = checkpoint.load_config(args.decoder).model
    if 'vae' not in other:
      raise BadInput(f'--decoder {args.decoder} has no autoencoder: name the workdir of one')
    other.vae.scale, config.model.vae = config.model.vae.scale, other.vae
    found = exchanged(found, checkpoint.specs(args.decoder, ema=not args.raw))
  if args.dtype:
    config.train.dtype = args.dtype
  return config, found


def exchanged(found, other):
  """{name: anything} of a checkpoint, with the autoencoder of another."""
  return {n: x for n, x in found.items() if not n.startswith('vae/')} | {
      n: x for n, x in other.items() if n.startswith('vae/')}


def tokenizer_of(args, config):
  """The tokenizer of a checkpoint that has a text tower, else None."""
  from svdjax.models.tokenizer import Tokenizer
  assets = pathlib.Path(args.checkpoint) / 'assets'
  return Tokenizer.load(assets) if 'clip_text' in config.model else None


def load(args, config=None):
  """(config, networks, parameters, tokenizer, step) of a checkpoint, LoRA merged.

  `config` is that of `describe`, where it was called before.
  """
  from svdjax import checkpoint
  from svdjax.convert import lora
  from svdjax.tasks import parts as parts_lib
  config = config or describe(args)[0]
  _, params, step = checkpoint.load(args.checkpoint, ema=not args.raw)
  if args.decoder:
    params = exchanged(params, checkpoint.load(args.decoder, ema=not args.raw)[1])
  if 'lora' in config.model:  # a LoRA stage's own factors
    params = parts_lib.merged(parts_lib.build(config.model), params)
    del config.model['lora']
  if args.lora:
    params = lora.add(params, args.lora, config.model.unet)
  return config, parts_lib.build(config.model), params, tokenizer_of(args, config), step


def check_devices(count):
  """Raises BadInput unless there are devices for --split-frames."""
  import jax
  if not 1 <= count <= jax.device_count():
    raise BadInput(f'--split-frames {count} asks for as many devices, and there are '
                   f'{jax.device_count()}: use 1 to {jax.device_count()}')


def footage_of(args, chosen):
  """The clip of --interpolate, or None; its rate and motion are what the options leave open."""
  if not args.interpolate:
    return None
  from svdjax import interpolate
  footage = interpolate.read(args.interpolate, chosen.height, chosen.width, chosen.frames)
  args.fps = args.fps or interpolate.rate(footage, chosen.frames)
  args.motion = interpolate.bucket(footage) if args.motion is None else args.motion
  return footage


def produce(args, generator, params, inputs, footage):
  """The videos, uint8 [samples t h w 3]: a clip each, a chain of clips, or an interpolated clip."""
  from svdjax import chain, generate, interpolate
  from svdjax.core.progress import Progress
  from svdjax.core.rng import key_of
  key, steps, frames = key_of(args.seed, 'sample'), len(generator.sigmas) - 1, generator.shape[0]
  if footage:
    steps = interpolate.steps(generator, footage)
  elif args.length:
    steps *= chain.clips(args.length, frames, args.overlap)
  with Progress(steps, 0, 'sampling') as bar:
    if footage:
      return interpolate.run(generator, params, inputs, footage, key, bar.update)[None]
    if args.length:
      return chain.run(generator, params, inputs, key, args.length, args.overlap, bar.update)
    return np.asarray(generate.run(generator, params, inputs, key, bar.update))


def main(argv=None):
  """Samples and writes the files."""
  args = arguments(argv)
  check(args)
  platform.configure()
  from svdjax import chain, generate, interpolate
  from svdjax.core import mesh
  from svdjax.inputs.buckets import Size
  from svdjax.validate import check_pixels, check_sampling_memory

  config, specs = describe(args)
  chosen = sampling.settings_of(args, config, specs)
  check_pixels(args.samples, Size(chosen.frames, chosen.height, chosen.width),
               'lower --frames, --samples, --height and --width')
  if args.length is not None:
    args.overlap = 1 if args.overlap is None else args.overlap
    chain.check(config, chosen.frames, args.length, args.overlap)
  footage = footage_of(args, chosen)
  inputs, fps = inputs_of(args, config, chosen, tokenizer_of(args, config))
  if footage:
    inputs['fps'] = interpolate.told_rate(config, inputs['fps'])
  asked = next(interpolate.batches(footage, inputs)) if footage else inputs
  check_devices(args.split_frames)
  devices = {'data': 1, 'fsdp': 1, 'frame': args.split_frames}
  with mesh.use(devices):
    check_sampling_memory(config, specs, chosen, asked)
  config, parts, params, _, step = load(args, config)
  began = time.monotonic()
  with mesh.use(devices):
    videos = produce(args, generate.build(config, parts, chosen), params, inputs, footage)
  if is_orbit(config):  # the last view is the given one
    last = np.uint8(np.round((inputs['image'] + 1) * 127.5))[:, None]
    videos = np.concatenate([videos[:, :-1], last], axis=1)
  told = {n: x for n, x in vars(args).items() if n not in ('out', 'gif', 'strip')}
  metadata = told | vars(chosen) | {
      'step': step, 'image': ' '.join(args.image or ()) or None, 'fps': fps,
      'motion': float(inputs['motion'][0]), 'cond_aug': float(inputs['cond_aug'][0])}
  for i, frames in enumerate(videos):
    write(args, i, frames, fps, metadata | {'sample': i})
  print(f'{len(videos)} x {videos.shape[1]} frames in {time.monotonic() - began:.1f} s')


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
