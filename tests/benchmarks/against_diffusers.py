"""Time and memory of svdjax beside diffusers on CPU, as ratios.

    python tests/benchmarks/against_diffusers.py [--threads 2] [--repeats 3] [LINE ...]

Each line runs both sides in turn on the same cores, each in a process of its own, with random fp32
weights of the same sizes. Below 1, svdjax is better. CPU seconds are steadier than wall seconds on
a shared machine (there with one thread: waiting threads of PyTorch count too); compilation is not
counted. Memory is the peak of the process over what it takes with its libraries imported,
compilation included. Needs the `torch` extra.
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

FRAMES = 14
# Height and width of the latents at each level of a 320×576 video, and of the pictures below.
LEVELS = {320: (40, 72, True), 640: (20, 36, True), 1280: (10, 18, True), 1281: (5, 9, False)}
PICTURE, CLIP = (320, 576), (2, 128, 192)
LINES = ('step', 'block 320', 'block 640', 'block 1280', 'block 1280 without attention',
         'vae encode', 'vae decode', 'clip')


def fields(line):
  """(channels, height, width, attention) of a block's line."""
  channels = int(line.split()[1])
  return channels, *LEVELS[channels + ('without' in line)]


def unet_config():
  """A narrow UNet with the head size and topology of SVD."""
  from svdjax.models import unet
  return unet.UNetConfig(channels=(64, 128, 256, 256), norm_eps='diffusers')


def block_config(channels):
  """SVD's UNet with one level beside the first, whose width gives that of the embedding: 1,280."""
  from svdjax.models import unet
  return dataclasses.replace(unet.UNetConfig(norm_eps='diffusers'), channels=(320, channels),
                             attention=(True, True))


def random(*shape):
  return np.random.default_rng(0).standard_normal(shape, np.float32)


def ours(line):
  """A function of no arguments that computes a line with svdjax."""
  from svdjax.core import platform
  platform.configure()
  import jax
  from svdjax.models import clip, nn, unet, vae

  def ready(network, *args):
    params = {n: jax.device_put(random(*s.shape) * 0.02) for n, s in network.shapes.items()}
    args = [jax.device_put(a) if isinstance(a, np.ndarray) else a for a in args]
    static = tuple(i + 1 for i, a in enumerate(args) if isinstance(a, str))
    compiled = jax.jit(network.apply, static_argnums=static)
    return lambda: jax.block_until_ready(compiled(params, *args))

  if line == 'step':
    config = unet_config()
    return ready(unet.build(config), random(1, FRAMES, 40, 72, 8), random(1), random(1, 1, 1024),
                 random(1, 768))
  if line.startswith('block'):
    channels, height, width, attention = fields(line)
    config = block_config(channels)

    class Block(unet.Level):
      """A ResBlock and its transformer."""

      def __call__(self, x, emb, context):
        x = self.resnets[0](x, emb, None)
        return self.attentions[0](x, context, context, None) if attention else x

    made = nn.functional(lambda keys: Block([(channels, channels)], config, 'mid', 1, attention,
                                            rngs=keys))
    return ready(made, random(1, FRAMES, height, width, channels),
                 random(1, FRAMES, config.emb_dim), random(1, 1, 1024))
  if line == 'clip':
    return ready(clip.build_image(clip.IMAGE_VIT_H), random(1, 224, 224, 3))
  made = vae.build(vae.VAEConfig())
  if line == 'vae encode':
    return ready(made, random(1, *PICTURE, 3), 'encode')
  frames, height, width = CLIP
  return ready(made, random(1, frames, height // 8, width // 8, 4), 'decode')


def theirs(line, threads):
  """The same with diffusers and transformers."""
  import diffusers
  import torch
  import transformers
  torch.set_num_threads(threads)
  torch.set_grad_enabled(False)
  give = lambda *shape: torch.from_numpy(random(*shape))
  if line == 'step':
    config = unet_config()
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=config.channels, num_attention_heads=(1, 2, 4, 4)).eval()
    args = (give(1, FRAMES, 8, 40, 72), give(1), give(1, 1, 1024), give(1, 3))
    return lambda: unet(*args)
  if line.startswith('block'):
    return _their_block(block_config(fields(line)[0]).emb_dim, *fields(line))
  if line == 'clip':
    clip = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
        patch_size=14, image_size=224, projection_dim=1024, hidden_act='gelu')).eval()
    pixels = give(1, 3, 224, 224)
    return lambda: clip(pixels)
  vae = diffusers.AutoencoderKLTemporalDecoder(
      block_out_channels=(128, 256, 512, 512), layers_per_block=2,
      down_block_types=('DownEncoderBlock2D',) * 4).eval()
  if line == 'vae encode':
    picture = give(1, 3, *PICTURE)
    return lambda: vae.encode(picture).latent_dist.mode()
  frames, height, width = CLIP
  latents = give(frames, 4, height // 8, width // 8)
  return lambda: vae.decode(latents, num_frames=frames)


def _their_block(embedding, channels, height, width, attention):
  import torch
  from diffusers.models.resnet import SpatioTemporalResBlock
  from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
  give = lambda *shape: torch.from_numpy(random(*shape))
  block = SpatioTemporalResBlock(channels, channels, embedding, eps=1e-5).eval()
  transformer = TransformerSpatioTemporalModel(
      channels // 64, 64, in_channels=channels, cross_attention_dim=1024).eval()
  x, emb = give(FRAMES, channels, height, width), give(FRAMES, embedding)
  context, images = give(FRAMES, 1, 1024), torch.zeros(1, FRAMES)

  def run():
    y = block(x, emb, image_only_indicator=images)
    return transformer(y, context, image_only_indicator=images).sample if attention else y

  return run


def measure(side, line, threads, repeats):
  """Prints {'wall', 'cpu', 'peak'} of one side of a line."""
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
  if side == 'ours':
    import jax
    jax.devices()
    import svdjax.models.unet  # noqa: F401
  else:
    import diffusers  # noqa: F401
    import transformers  # noqa: F401
  rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
  before = rss()
  run = ours(line) if side == 'ours' else theirs(line, threads)
  run()
  wall, cpu = [], []
  for _ in range(repeats):
    began = time.monotonic(), time.process_time()
    run()
    wall.append(time.monotonic() - began[0])
    cpu.append(time.process_time() - began[1])
  print(json.dumps({'wall': statistics.median(wall), 'cpu': statistics.median(cpu),
                    'peak': rss() - before}))


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('lines', nargs='*', metavar='LINE', help=f'of: {", ".join(LINES)}')
  parser.add_argument('--threads', type=int, default=2)
  parser.add_argument('--repeats', type=int, default=3)
  parser.add_argument('--side', choices=('ours', 'theirs'), help=argparse.SUPPRESS)
  args = parser.parse_args()
  if unknown := [line for line in args.lines if line not in LINES]:
    parser.error(f'"{unknown[0]}" is not one of {", ".join(LINES)}')
  if args.side:
    measure(args.side, args.lines[0], args.threads, args.repeats)
    return
  print(f'{"line":30} {"diffusers":>10} {"svdjax":>10} {"wall":>6} {"CPU":>6} {"memory":>7}')
  for line in args.lines or LINES:
    row = {}
    for side in ('theirs', 'ours'):
      done = subprocess.run(
          [sys.executable, __file__, line, '--side', side, '--threads', str(args.threads),
           '--repeats', str(args.repeats)], capture_output=True, text=True, check=False,
          env=os.environ | {'JAX_PLATFORMS': 'cpu'})
      if done.returncode:
        sys.exit(f'{line}, {side}:\n{done.stderr}')
      row[side] = json.loads(done.stdout.splitlines()[-1])
    a, b = row['theirs'], row['ours']
    print(f'{line:30} {a["wall"]:8.2f} s {b["wall"]:8.2f} s '
          + ' '.join(f'{b[n] / a[n]:6.2f}' for n in ('wall', 'cpu', 'peak')), flush=True)


if __name__ == '__main__':
  main()
