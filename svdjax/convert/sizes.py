"""The sizes of networks from the shapes of their tensors, and from configs what shapes do not tell.

Tensors are asked for by their svdjax names, so that both other layouts are read by one description.
"""

import itertools
import math

from svdjax.convert import table
from svdjax.core import weights
from svdjax.core.errors import BadInput

# Tensors by any of which a layer is known to be there: one of them may be what a file lacks.
RESBLOCK = ('norm1/scale', 'conv1/kernel', 'norm2/scale', 'conv2/kernel')
TRANSFORMER = ('norm/scale', 'proj_in/kernel', 'proj_out/kernel')
CLIP_LAYER = ('layer_norm1/scale', 'layer_norm2/scale', 'mlp/fc1/kernel', 'mlp/fc2/kernel')
CLIP_HEAD_DIM = 80  # of the released image encoder


class Shapes:
  """Shapes of a file in PyTorch's order by svdjax names.

  Args:
    specs: {their name: Spec, or None for a tensor of a type that is not read}.
    dialect: 'diffusers' or 'sgm'.
    where: the file, for messages.
    depth: table.Depth, to be completed as it is read.
  """

  def __init__(self, specs, dialect, where, depth=table.Depth()):
    self.specs, self.dialect, self.where, self.depth = specs, dialect, where, depth

  def _name(self, name, layer):
    return table.place(name, 2, self.dialect, self.depth, layer).name

  def has(self, place, leaves, layer=None):
    """Whether any of the tensors place/leaf is there."""
    return any(self._name(f'{place}/{leaf}', layer) in self.specs for leaf in leaves)

  def count(self, place, leaves):
    """How many of the layers place.format(0), place.format(1), … there are."""
    return next(n for n in itertools.count() if not self.has(place.format(n), leaves, n))

  def need(self, name, rank, layer=None):
    """The shape of a tensor without which sizes cannot be read.

    Raises:
      BadInput: it is missing, of a type that is not read, or has not `rank` axes.
    """
    theirs = self._name(name, layer)
    spec = self.specs.get(theirs)
    if spec is None:
      fault = weights.UNREAD if theirs in self.specs else 'is missing'
      raise BadInput(f'{self.where}: {theirs} {fault}: the file is incomplete, quantised or not of '
                     'this kind of model')
    if len(spec.shape) != rank:
      raise BadInput(f'{self.where}: {theirs} has shape {spec.shape} where {rank} axes are needed: '
                     'the file is not of this kind of model')
    return spec.shape


def unet(specs, dialect, where='the file'):
  """Fields of unet.UNetConfig, but for heads, which shapes do not tell.

  Args:
    specs, dialect, where: as of Shapes.

  Raises:
    BadInput: as `Shapes.need`.
  """
  shape = Shapes(specs, dialect, where)
  temporal = shape.has('unet/mid_block/resnets/0/temporal_res_block', RESBLOCK)
  shape.depth = shape.depth._replace(temporal=temporal)
  blocks = shape.count('unet/down_blocks/0/resnets/{}/spatial_res_block', RESBLOCK)
  shape.depth = shape.depth._replace(blocks=blocks)
  levels = max(shape.count('unet/down_blocks/{}/resnets/0/spatial_res_block', RESBLOCK), 1)
  kernel = 'unet/down_blocks/{}/resnets/0/spatial_res_block/conv1/kernel'
  vector = 'unet/add_embedding/linear_1'
  told = temporal or shape.has(vector, ('kernel', 'bias'))
  return dict(
      in_channels=shape.need('unet/conv_in/kernel', 4)[1],
      out_channels=shape.need('unet/conv_out/kernel', 4)[0],
      channels=tuple(shape.need(kernel.format(i), 4)[0] for i in range(levels)),
      attention=tuple(shape.has(f'unet/down_blocks/{i}/attentions/0', TRANSFORMER)
                      for i in range(levels)),
      blocks=blocks,
      context_dim=shape.need(
          'unet/mid_block/attentions/0/transformer_blocks/0/attn2/to_k/kernel', 2)[1],
      vector_dim=shape.need(f'{vector}/kernel', 2)[1] if told else 0,
      temporal='svd' if temporal else 'none')


def head_dim(heads, channels, where):
  """Width of a head, or those of each level where they differ, from numbers of heads.

  Args:
    heads: of each level, or one number.
    channels: of each level.
    where: the file that tells them, for the message.

  Raises:
    BadInput: not one number a level, or one that does not divide its channels.
  """
  each = [heads] * len(channels) if isinstance(heads, int) else list(heads or ())
  if len(each) != len(channels) or not all(map(divides, each, channels)):
    raise BadInput(f'{where} has {heads} attention heads for channels {list(channels)}: give one '
                   'number a level that divides its channels')
  widths = tuple(c // n for c, n in zip(channels, each))
  return widths[0] if len(set(widths)) == 1 else widths


def divides(part, whole):
  """Whether `part` is a positive integer that divides `whole`."""
  return isinstance(part, int) and part > 0 and whole % part == 0


def vae(specs, dialect, index=3, where='the file'):
  """Fields of vae.VAEConfig; `index` is the autoencoder's among sgm's conditioners.

  Raises:
    BadInput: as `Shapes.need`.
  """
  shape = Shapes(specs, dialect, where, table.Depth(vae=index))
  temporal = shape.has('vae/decoder/mid_block/resnets/0/temporal_res_block', RESBLOCK)
  shape.depth = shape.depth._replace(temporal=temporal)
  levels = max(shape.count('vae/encoder/down_blocks/{}/resnets/0', RESBLOCK), 1)
  return dict(
      channels=tuple(shape.need(f'vae/encoder/down_blocks/{i}/resnets/0/conv1/kernel', 4)[0]
                     for i in range(levels)),
      blocks=shape.count('vae/encoder/down_blocks/0/resnets/{}', RESBLOCK),
      latent_channels=shape.need('vae/decoder/conv_in/kernel', 4)[1], temporal=temporal,
      middle=shape.count('vae/decoder/mid_block/resnets/{}/spatial_res_block', RESBLOCK),
      post_quant=shape.has('vae/post_quant_conv', ('kernel', 'bias')))


def clip_image(specs, dialect, heads=None, where='the file'):
  """Fields of clip.ImageConfig; heads as wide as in the released model if None.

  Raises:
    BadInput: as `Shapes.need`, or heads that do not divide the width.
  """
  shape = Shapes(specs, dialect, where)
  tower = 'clip_image/vision_model'
  tokens, width = shape.need(f'{tower}/embeddings/position_embedding/embedding', 2)
  patch = shape.need(f'{tower}/embeddings/patch_embedding/kernel', 4)[-1]
  projection = table.place('clip_image/visual_projection/kernel', 2, dialect, shape.depth)
  return dict(
      width=width, layers=shape.count(f'{tower}/encoder/layers', CLIP_LAYER),
      heads=_heads(width, max(width // CLIP_HEAD_DIM, 1) if heads is None else heads, where),
      mlp=shape.need(f'{tower}/encoder/layers/mlp/fc1/kernel', 2, 0)[0], patch=patch,
      size=patch * math.isqrt(tokens - 1),
      projection=shape.need('clip_image/visual_projection/kernel', 2)[projection.layout == 'same'])


def clip_text(specs, heads, where='the file'):
  """Fields of clip.TextConfig, from transformers' names.

  Raises:
    BadInput: as `clip_image`.
  """
  shape = Shapes(specs, 'diffusers', where)
  tower = 'clip_text/text_model'
  context, width = shape.need(f'{tower}/embeddings/position_embedding/embedding', 2)
  projected = shape.has('clip_text/text_projection', ('kernel',))
  return dict(
      width=width, layers=shape.count(f'{tower}/encoder/layers', CLIP_LAYER),
      heads=_heads(width, heads, where),
      mlp=shape.need(f'{tower}/encoder/layers/mlp/fc1/kernel', 2, 0)[0], context=context,
      vocab=shape.need(f'{tower}/embeddings/token_embedding/embedding', 2)[0],
      projection=shape.need('clip_text/text_projection/kernel', 2)[0] if projected else None)


def _heads(width, heads, where):
  if not divides(heads, width):
    raise BadInput(f'{where} has {heads} attention heads for a width of {width}: give a number '
                   'that divides it')
  return heads
