"""What PyTorch computes with the weights of world.py.

    python tests/convert/make_reference.py

writes reference.npz, which tests without PyTorch compare with; the parity tests call the functions.
"""

import importlib.util
import pathlib
import sys

import diffusers
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion
import numpy as np
import torch
import transformers

from svdjax.convert import to_diffusers

FOLDER = pathlib.Path(__file__).parent
MODELS = {
    'unet': diffusers.UNetSpatioTemporalConditionModel,
    'clip_image': transformers.CLIPVisionModelWithProjection,
}


def channels_first(x):
  """numpy [... h w c] -> torch [... c h w]."""
  return torch.from_numpy(np.moveaxis(x, -1, -3).copy())


def channels_last(x):
  """torch [... c h w] -> numpy [... h w c]."""
  return np.moveaxis(x.detach().numpy(), -3, -1)


def model(world, network, sizes):
  """A PyTorch model with drawn weights, from the config.json that svdjax writes."""
  data = world.DATA | {'scalar_dim': sizes.get('vector_dim', 0) // 3}
  config = to_diffusers.CONFIGS[network](sizes, data)
  if network == 'clip_image':
    made = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**config))
  else:
    made = getattr(diffusers, config.pop('_class_name')).from_config(config)
  for name, parameter in made.named_parameters():
    parameter.data = torch.from_numpy(world.draw(name, tuple(parameter.shape)))
  return made.eval()


@torch.no_grad()
def unet(world, sizes, inputs):
  """F of a video UNet: numpy [b t h w 4]."""
  x, c_noise, context, scalars = inputs
  return channels_last(model(world, 'unet', sizes)(
      channels_first(x), torch.from_numpy(c_noise), torch.from_numpy(context),
      torch.from_numpy(scalars)).sample)


@torch.no_grad()
def encode(vae, images):
  """(mean, log variance) of images [n h w 3]: numpy [n h/8 w/8 z] each."""
  posterior = vae.encode(channels_first(images)).latent_dist
  return channels_last(posterior.mean), channels_last(posterior.logvar)


@torch.no_grad()
def decode(vae, latents, chunk):
  """Frames of one clip of latents [t h w z], decoded `chunk` at a time: numpy [t 8h 8w 3]."""
  parts = [channels_last(vae.decode(part, num_frames=len(part)).sample)
           for part in channels_first(latents).split(chunk)]
  return np.concatenate(parts)


@torch.no_grad()
def embed(clip, images):
  """Image embeddings of pre-processed images [n h w 3]: numpy [n e]."""
  return clip(channels_first(images)).image_embeds.numpy()


def resize(images, size):
  """The antialiasing resize of the pipeline, on images [n h w 3] in [-1, 1]."""
  resize = pipeline_stable_video_diffusion._resize_with_antialiasing
  return channels_last(resize(channels_first(images), (size, size)))


def scheduler(sample):
  """The scheduler from the config that svdjax writes."""
  return diffusers.EulerDiscreteScheduler.from_config(to_diffusers.scheduler_config(sample))


def sample(denoise_v, noise, steps):
  """The pipeline's loop over a function (c_in x, c_noise) -> v, in numpy [b t h w z]."""
  made = scheduler({'sigma_min': 0.002, 'sigma_max': 700.})
  made.set_timesteps(steps)
  x = torch.from_numpy(noise) * made.init_noise_sigma
  for t in made.timesteps:
    v = torch.from_numpy(denoise_v(made.scale_model_input(x, t).numpy(), float(t)))
    x = made.step(v, t, x).prev_sample
  return x.numpy()


def toy_v(x, c_noise):
  """Any smooth function of a scaled latent and its noise level, as a network's v."""
  return (np.sin(3 * x) * np.cos(c_noise) - 0.3 * x).astype(np.float32)


def main():
  spec = importlib.util.spec_from_file_location('world', FOLDER / 'world.py')
  world = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(world)
  vae = model(world, 'vae', world.VIDEO['vae'])
  images = np.tanh(world.draw('images', (2, 16, 24, 3)) * 8)
  latents = world.draw('latents', (5, 4, 6, 4)) * 5
  mean, log_variance = encode(vae, images)
  clip = model(world, 'clip_image', world.CLIPS['parity'])
  photo = np.tanh(world.draw('photo', (1, 100, 70, 3)) * 8)
  made = {
      'unet': unet(world, world.UNETS['C'], world.unet_inputs(world.UNETS['C'])),
      'mean': mean, 'log_variance': log_variance,
      'decoded': decode(vae, latents, 3),
      'embedding': embed(clip, world.draw('pixels', (2, 56, 56, 3)) * 12),
      'resized': resize(photo, 56),
      'sampled': sample(toy_v, world.draw('noise', (1, 3, 4, 6, 4)) * 10, 25),
  }
  versions = {'diffusers': diffusers.__version__, 'torch': torch.__version__,
              'transformers': transformers.__version__}
  np.savez_compressed(FOLDER / 'reference.npz', versions=np.array(str(versions)), **made)
  print(*(f'{n} {x.shape}' for n, x in made.items()), file=sys.stderr)


if __name__ == '__main__':
  main()
