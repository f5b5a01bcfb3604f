"""The sizes of networks from the shapes of their tensors, and from configs what shapes do not tell.

Tensors are asked for by their svdjax names, so that both other layouts are read by one description.
"""

import itertools
import math

from svdjax.convert import table
from svdjax.core.errors import BadInput


class Shapes:
  """Shapes of a file in PyTorch's order by svdjax names; None where there is no such tensor."""

  def __init__(self, specs, dialect, depth=table.Depth()):
    self.specs, self.dialect, self.depth = specs, dialect, depth

  def __call__(self, name, layer=None):
    spec = self.specs.get(table.place(name, 2, self.dialect, self.depth, layer).name)
    return spec and spec.shape

  def count(self, name):
    """How many of the tensors name.format(0), name.format(1), … there are."""
    return next(n for n in itertools.count() if self(name.format(n), n) is None)

  def need(self, name, layer=None):
    """The shape of a tensor without which nothing can be read; BadInput if it is missing."""
    shape = self(name, layer)
    if shape is None:
      theirs = table.place(name, 2, self.dialect, self.depth, layer).name
      raise BadInput(f'tensor {theirs} is missing: the file is not of this kind of model, or '
                     'incomplete')
    return shape


def unet(specs, dialect, heads=None, head_dim=64):
  """Fields of unet.UNetConfig, and of its table.Depth.

  Args:
    specs: {their name: Spec}.
    dialect: 'diffusers' or 'sgm'.
    heads: heads per level (or one number); None where head_dim says it.
    head_dim: width of a head; 64 in released models.
  """
  shape = Shapes(specs, dialect)
  temporal = shape('unet/mid_block/resnets/0/temporal_res_block/norm1/scale') is not None
  shape.depth = shape.depth._replace(temporal=temporal)
  blocks = shape.count('unet/down_blocks/0/resnets/{}/spatial_res_block/norm1/scale')
  shape.need('unet/down_blocks/0/resnets/0/spatial_res_block/norm1/scale')
  shape.depth = shape.depth._replace(blocks=blocks)
  levels = shape.count('unet/down_blocks/{}/resnets/0/spatial_res_block/norm1/scale')
  channels = tuple(shape(f'unet/down_blocks/{i}/resnets/0/spatial_res_block/conv1/kernel')[0]
                   for i in range(levels))
  attention = tuple(shape(f'unet/down_blocks/{i}/attentions/0/proj_in/kernel') is not None
                    for i in range(levels))
  vector = shape('unet/add_embedding/linear_1/kernel')
  if heads is not None:
    heads = (heads,) * levels if isinstance(heads, int) else tuple(heads)
    widths = tuple(c // n for c, n in zip(channels, heads))
    head_dim = widths[0] if len(set(widths)) == 1 else widths
  return dict(
      in_channels=shape.need('unet/conv_in/kernel')[1],
      out_channels=shape.need('unet/conv_out/kernel')[0], channels=channels, attention=attention,
      blocks=blocks, head_dim=head_dim,
      context_dim=shape.need(
          'unet/mid_block/attentions/0/transformer_blocks/0/attn2/to_k/kernel')[1],
      vector_dim=vector[1] if vector else 0, temporal='svd' if temporal else 'none')


def vae(specs, dialect, index=3):
  """Fields of vae.VAEConfig; `index` is the autoencoder's among sgm's conditioners."""
  shape = Shapes(specs, dialect, table.Depth(vae=index))
  temporal = shape('vae/decoder/mid_block/resnets/0/temporal_res_block/norm1/scale') is not None
  shape.depth = shape.depth._replace(temporal=temporal)
  shape.need('vae/encoder/down_blocks/0/resnets/0/norm1/scale')
  levels = shape.count('vae/encoder/down_blocks/{}/resnets/0/norm1/scale')
  return dict(
      channels=tuple(shape(f'vae/encoder/down_blocks/{i}/resnets/0/conv1/kernel')[0]
                     for i in range(levels)),
      blocks=shape.count('vae/encoder/down_blocks/0/resnets/{}/norm1/scale'),
      latent_channels=shape.need('vae/decoder/conv_in/kernel')[1], temporal=temporal,
      middle=shape.count('vae/decoder/mid_block/resnets/{}/spatial_res_block/norm1/scale'),
      post_quant=shape('vae/post_quant_conv/kernel') is not None)


def clip_image(specs, dialect, heads=None):
  """Fields of clip.ImageConfig; heads of 80, as in the released model, if None."""
  shape = Shapes(specs, dialect)
  tower = 'clip_image/vision_model'
  tokens, width = shape.need(f'{tower}/embeddings/position_embedding/embedding')
  patch = shape.need(f'{tower}/embeddings/patch_embedding/kernel')[-1]
  projection = table.place('clip_image/visual_projection/kernel', 2, dialect, shape.depth)
  return dict(
      width=width, layers=shape.count(f'{tower}/encoder/layers/layer_norm1/scale'),
      heads=heads or max(width // 80, 1),
      mlp=shape.need(f'{tower}/encoder/layers/mlp/fc1/kernel', 0)[0], patch=patch,
      size=patch * math.isqrt(tokens - 1),
      projection=shape.need('clip_image/visual_projection/kernel')[projection.layout == 'same'])


def clip_text(specs, heads):
  """Fields of clip.TextConfig, from transformers' names."""
  shape = Shapes(specs, 'diffusers')
  tower = 'clip_text/text_model'
  context, width = shape.need(f'{tower}/embeddings/position_embedding/embedding')
  projection = shape('clip_text/text_projection/kernel')
  return dict(
      width=width, layers=shape.count(f'{tower}/encoder/layers/layer_norm1/scale'), heads=heads,
      mlp=shape.need(f'{tower}/encoder/layers/mlp/fc1/kernel', 0)[0], context=context,
      vocab=shape.need(f'{tower}/embeddings/token_embedding/embedding')[0],
      projection=projection and projection[0])
