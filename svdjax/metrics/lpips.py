"""LPIPS (Zhang et al. 1801.03924) over AlexNet or VGG-16, version 0.1.

Tensors have the names of the `lpips` package's state_dict, the network's own among them.
"""

import functools
from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp

from svdjax.metrics import weights_file

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10


class Conv(NamedTuple):
  """A convolution with relu: its number in torchvision's `features`, sizes, stride and padding."""
  number: int
  i: int
  o: int
  size: int
  stride: int
  padding: int


class Network(NamedTuple):
  """Slices of convolutions, whose outputs are compared, and the side of the pools between them."""
  slices: tuple
  pool: int


_three = lambda number, i, o: Conv(number, i, o, 3, 1, 1)
NETWORKS = {
    'alex': Network(((Conv(0, 3, 64, 11, 4, 2),), (Conv(3, 64, 192, 5, 1, 2),),
                     (_three(6, 192, 384),), (_three(8, 384, 256),), (_three(10, 256, 256),)), 3),
    'vgg': Network(((_three(0, 3, 64), _three(2, 64, 64)),
                    (_three(5, 64, 128), _three(7, 128, 128)),
                    (_three(10, 128, 256), _three(12, 256, 256), _three(14, 256, 256)),
                    (_three(17, 256, 512), _three(19, 512, 512), _three(21, 512, 512)),
                    (_three(24, 512, 512), _three(26, 512, 512), _three(28, 512, 512))), 2)}


def shapes(name):
  """{PyTorch name: shape} of all tensors over the network 'alex' or 'vgg'."""
  result = {}
  for k, convs in enumerate(NETWORKS[name].slices):
    for c in convs:
      result[f'net.slice{k + 1}.{c.number}.weight'] = (c.o, c.i, c.size, c.size)
      result[f'net.slice{k + 1}.{c.number}.bias'] = (c.o,)
    result[f'lin{k}.model.1.weight'] = (1, convs[-1].o, 1, 1)
  return result


def load(path):
  """(name of the network, Tensors) of a .safetensors or .npz file.

  Raises:
    BadInput: the file is not that of an LPIPS network.
  """
  have, _ = weights_file.read(path)
  first = next((s for n, s in have.items() if n.endswith('net.slice1.0.weight')), (0, 0, 0, 0))
  name = 'vgg' if tuple(first)[-1] == 3 else 'alex'
  return name, weights_file.load(path, shapes(name),
                                 f'the state_dict of lpips.LPIPS(net="{name}")')


def _features(params, network, x):
  """Unit-length features of each slice: [n h w 3] -> list of [n h' w' c]."""
  result = []
  for k, convs in enumerate(network.slices):
    if (k and network.pool == 2) or k in (1, 2):  # AlexNet has no pool before its last two slices
      x = lax.reduce_window(x, -jnp.inf, lax.max, (1, network.pool, network.pool, 1), (1, 2, 2, 1),
                            'VALID')
    for c in convs:
      name = f'net.slice{k + 1}.{c.number}'
      x = lax.conv_general_dilated(
          x, params[f'{name}.weight'], (c.stride,) * 2, ((c.padding,) * 2,) * 2,
          dimension_numbers=('NHWC', 'OIHW', 'NHWC'), precision=lax.Precision.HIGHEST)
      x = jax.nn.relu(x + params[f'{name}.bias'].reshape(1, 1, 1, -1))
    result.append(x / (jnp.sqrt(jnp.sum(x ** 2, axis=-1, keepdims=True)) + _EPS))
  return result


@functools.partial(jax.jit, static_argnums=1)
def distance(params, name, output, truth):
  """LPIPS of each frame.

  Args:
    params: {name: array} of `load`.
    name: of the network, 'alex' or 'vgg'.
    output, truth: uint8 [n h w 3], at least 64 pixels a side for 'alex' to see all its slices.

  Returns:
    [n] float32; 0 for equal frames.
  """
  vector = lambda v: jnp.asarray(v, jnp.float32).reshape(1, 1, 1, 3)
  scaled = lambda x: (x.astype(jnp.float32) / 127.5 - 1 - vector(_SHIFT)) / vector(_SCALE)
  pairs = zip(*(_features(params, NETWORKS[name], scaled(x)) for x in (output, truth)))
  weight = lambda k: params[f'lin{k}.model.1.weight'].reshape(-1)
  return sum(jnp.einsum('nhwc,c->nhw', (a - b) ** 2, weight(k)).mean((1, 2))
             for k, (a, b) in enumerate(pairs))
