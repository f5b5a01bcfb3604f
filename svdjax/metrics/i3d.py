"""I3D (Carreira & Zisserman, 1705.07750): the feature network of FVD.

The Inception-v1 3-D network trained on Kinetics-400, under the names and in the layout of the
`pytorch_i3d` state_dict, with TensorFlow's 'SAME' padding as there.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp

from svdjax.core.errors import BadInput
from svdjax.metrics import weights_file

SIDE, LEAST_FRAMES = 224, 9
CLASSES = 400
_EPS = 1e-3
# Widths of the branches: 1x1; 1x1, 3x3; 1x1, 3x3; pooled 1x1.
_MIXED = {
    '3b': (192, 64, 96, 128, 16, 32, 32), '3c': (256, 128, 128, 192, 32, 96, 64),
    '4b': (480, 192, 96, 208, 16, 48, 64), '4c': (512, 160, 112, 224, 24, 64, 64),
    '4d': (512, 128, 128, 256, 24, 64, 64), '4e': (512, 112, 144, 288, 32, 64, 64),
    '4f': (528, 256, 160, 320, 32, 128, 128), '5b': (832, 256, 160, 320, 32, 128, 128),
    '5c': (832, 384, 192, 384, 48, 128, 128)}


def _convolutions():
  """Yields (name, inputs, outputs, kernel size) of all but the last."""
  yield 'Conv3d_1a_7x7', 3, 64, 7
  yield 'Conv3d_2b_1x1', 64, 64, 1
  yield 'Conv3d_2c_3x3', 64, 192, 3
  for name, (i, b0, b1a, b1b, b2a, b2b, b3b) in _MIXED.items():
    for branch, a, b, size in (('b0', i, b0, 1), ('b1a', i, b1a, 1), ('b1b', b1a, b1b, 3),
                               ('b2a', i, b2a, 1), ('b2b', b2a, b2b, 3), ('b3b', i, b3b, 1)):
      yield f'Mixed_{name}.{branch}', a, b, size


def shapes():
  """{PyTorch name: shape} of all tensors."""
  result = {}
  for name, i, o, size in _convolutions():
    result[f'{name}.conv3d.weight'] = (o, i, size, size, size)
    result |= {f'{name}.bn.{leaf}': (o,) for leaf in ('weight', 'bias', 'running_mean',
                                                      'running_var')}
  return result | {'logits.conv3d.weight': (CLASSES, 1024, 1, 1, 1),
                   'logits.conv3d.bias': (CLASSES,)}


def load(path):
  """The Tensors of I3D from a .safetensors or .npz file.

  Raises:
    BadInput: the file is not that of the network.
  """
  return weights_file.load(path, shapes(), 'an I3D with the names of pytorch_i3d and 400 classes')


def _conv(x, kernel, stride=1):
  return lax.conv_general_dilated(
      x, kernel, (stride,) * 3, 'SAME', dimension_numbers=('NDHWC', 'OIDHW', 'NDHWC'),
      precision=lax.Precision.HIGHEST)


def _unit(params, name, x, stride=1):
  """Convolution, batch norm with stored statistics, relu: [b t h w i] -> [b t' h' w' o]."""
  scale, shift, mean, variance = (params[f'{name}.bn.{n}'].reshape(1, 1, 1, 1, -1) for n in (
      'weight', 'bias', 'running_mean', 'running_var'))
  y = _conv(x, params[f'{name}.conv3d.weight'], stride)
  return jax.nn.relu((y - mean) * (scale * lax.rsqrt(variance + _EPS)) + shift)


def _pool(x, size, stride):
  """Maximum over windows; padding never wins, values being at least 0."""
  return lax.reduce_window(x, -jnp.inf, lax.max, (1, *size, 1), (1, *stride, 1), 'SAME')


def _mixed(params, name, x):
  unit = functools.partial(_unit, params)
  towers = [unit(f'{name}.b0', x), unit(f'{name}.b1b', unit(f'{name}.b1a', x)),
            unit(f'{name}.b2b', unit(f'{name}.b2a', x)),
            unit(f'{name}.b3b', _pool(x, (3, 3, 3), (1, 1, 1)))]
  return jnp.concatenate(towers, axis=-1)


def logits(params, video):
  """Class scores: what FVD takes as features.

  Args:
    params: {name: array} of `load`.
    video: [b t h w 3] float32 in [-1, 1] of SIDE pixels; at least LEAST_FRAMES frames.

  Returns:
    [b 400] float32, the mean over time.

  Raises:
    BadInput: too few frames.
  """
  if video.shape[1] < LEAST_FRAMES:
    raise BadInput(f'clips of {video.shape[1]} frames are too short for I3D: give at least '
                   f'{LEAST_FRAMES}')
  x = _unit(params, 'Conv3d_1a_7x7', video, 2)
  x = _unit(params, 'Conv3d_2b_1x1', _pool(x, (1, 3, 3), (1, 2, 2)))
  x = _pool(_unit(params, 'Conv3d_2c_3x3', x), (1, 3, 3), (1, 2, 2))
  for name in _MIXED:
    if name == '4b':
      x = _pool(x, (3, 3, 3), (2, 2, 2))
    if name == '5b':
      x = _pool(x, (2, 2, 2), (2, 2, 2))
    x = _mixed(params, f'Mixed_{name}', x)
  x = x.mean((2, 3), keepdims=True)  # the average of 7x7, all there is of 224 pixels
  x = (x[:, 1:] + x[:, :-1]) / 2
  y = _conv(x, params['logits.conv3d.weight']) + params['logits.conv3d.bias'].reshape(
      1, 1, 1, 1, -1)
  return y.mean((1, 2, 3))


def preprocess(video, side=SIDE):
  """uint8 [b t h w 3] -> [b t side side 3] in [-1, 1], bilinear without antialiasing.

  As the commonly used TorchScript file does with `resize` and `rescale`; the aspect ratio is lost.
  """
  b, t, _, _, c = video.shape
  x = jnp.asarray(video, jnp.float32) / 127.5 - 1
  return jax.image.resize(x, (b, t, side, side, c), 'linear', antialias=False)


@jax.jit
def features(params, video):
  """Class scores of clips uint8 [b t h w 3] -> [b 400] float32."""
  return logits(params, preprocess(video))
