"""The UNet against diffusers at full size, or at a small one with --size.

    python tests/convert/full_size.py

1.52 billion random parameters, 14 frames of 16×16 latents, fp32: needs PyTorch, diffusers and about
9 GiB of memory, and takes some minutes. PyTorch's model is freed before JAX starts; both draw their
weights from the names of the tensors. Exits 1 if outputs differ by more than 1e-4.
"""

import argparse
import gc
import importlib.util
import json
import pathlib
import resource
import sys
import time

import numpy as np

from svdjax.core import platform

FOLDER = pathlib.Path(__file__).parent
TOLERANCE = 1e-4
SIZES = {
    'full': ((320, 640, 1280, 1280), (5, 10, 20, 20), 2, 1024, 256),
    'small': ((32, 64), (2, 4), 1, 32, 32),
}


def module(name):
  """A module beside this file."""
  spec = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
  made = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(made)
  return made


def theirs(world, sizes, inputs):
  """(output, seconds) of diffusers."""
  reference = module('make_reference')
  with reference.torch.device('meta'):
    made = reference.diffusers.UNetSpatioTemporalConditionModel.from_config(
        reference.to_diffusers.unet_config(
            sizes, world.DATA | {'scalar_dim': sizes['vector_dim'] // 3}))
  made = made.to_empty(device='cpu').eval()
  for name, parameter in made.named_parameters():
    parameter.data = reference.torch.from_numpy(world.draw(name, tuple(parameter.shape)))
  x, *rest = inputs
  with reference.torch.no_grad():
    began = time.monotonic()
    out = made(reference.channels_first(x), *map(reference.torch.from_numpy, rest)).sample
  return reference.channels_last(out).copy(), time.monotonic() - began


def ours(world, sizes, inputs):
  """(output, seconds) of svdjax."""
  import jax
  from svdjax.models import unet
  from svdjax.tasks.conditioning import embed_scalars
  jax.config.update('jax_default_matmul_precision', 'highest')
  x, c_noise, context, scalars = inputs
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  vector = embed_scalars(tuple(values), sizes['vector_dim'], values)
  apply = jax.jit(unet.build(unet.UNetConfig(**sizes)).apply)
  params = world.params('unet', sizes)
  for name in params:  # one by one: the drawn array goes as its copy comes
    params[name] = jax.device_put(params[name])
  args = (params, x, c_noise, context, vector)
  compiled = apply.lower(*args).compile()
  began = time.monotonic()
  out = np.asarray(compiled(*args))
  return out, time.monotonic() - began


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--size', choices=tuple(SIZES), default='full')
  parser.add_argument('--frames', type=int, default=14)
  args = parser.parse_args()
  platform.configure()
  world = module('world')
  sizes = world.unet(*SIZES[args.size])
  inputs = [a[:1] for a in world.unet_inputs(sizes, args.frames, 16, 16)]
  want, their_seconds = theirs(world, sizes, inputs)
  gc.collect()
  got, our_seconds = ours(world, sizes, inputs)
  difference = float(np.abs(got - want).max())
  print(json.dumps({
      'parameters': int(sum(np.prod(s) for s in world.mapping('unet', sizes).theirs.values())),
      'max_difference': difference, 'output_std': float(want.std()), 'tolerance': TOLERANCE,
      'pytorch_seconds': round(their_seconds, 1), 'jax_seconds': round(our_seconds, 1),
      'peak_gib': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20, 1)}))
  sys.exit(difference > TOLERANCE)


if __name__ == '__main__':
  main()
