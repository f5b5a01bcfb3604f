"""Networks that are plain arithmetic, so that what a task feeds them and expects is exact."""

from einops import reduce, repeat
import jax.numpy as jnp
import pytest

from svdjax.models.nn import Functional
from svdjax.tasks.parts import Parts


def encode_decode(params, x, mode):
  """Latents are means over 2x2 pixels and one more channel; the posterior has no spread."""
  if mode == 'encode':
    mean = reduce(x, 'n (h y) (w x) c -> n h w c', 'mean', y=2, x=2)
    mean = jnp.concatenate([mean, mean[..., :1]], axis=-1) * params['gain']
    return mean, jnp.full_like(mean, -60.)
  return repeat(x[..., :3], 'b t h w c -> b t (h y) (w x) c', y=2, x=2)


def see(params, image):
  """An image [b h w 3] -> [b 16] numbers that identify it."""
  return reduce(image, 'b (h y) (w x) c -> b (h w)', 'mean', h=4, w=4) * params['gain']


def read(params, tokens, dtype=jnp.float32):
  """Tokens [b n] -> states [b n 16], and one vector [b 16]."""
  states = params['gain'] * jnp.ones((*tokens.shape, 16)) * tokens[..., None]
  return states.astype(dtype), states.mean(1)


def seven(params, height, width):
  """The latent of frames that are not given."""
  return jnp.full((height, width, 4), 7. * params['gain'])


@pytest.fixture
def fake():
  """fake(unet=None, scale=1.) -> (Parts, params); the UNet is a function of its four inputs."""

  def make(unet=None, scale=1.):
    network = lambda params, *inputs, **more: unet(*inputs, **more) * params['gain']
    networks = {'vae': encode_decode, 'clip_image': see, 'clip_text': read, 'unet': network,
                'mask': seven}
    parts = Parts({n: Functional({}, None, f) for n, f in networks.items()},
                  {'vae': {'scale': scale, 'temporal': False}, 'clip_image': {'size': 16},
                   'unet': {'vector_dim': 24}})
    return parts, {f'{name}/gain': jnp.float32(1.) for name in networks}

  return make
