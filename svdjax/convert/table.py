"""The one table of names: svdjax, diffusers (and transformers), and sgm's single file.

A name is translated from left to right: a row of its network's group gives the start, and names
the group in which the rest is looked up. `=` in the diffusers column means the svdjax name with
dots. Fields in braces are numbers of the name, or computed from them in `_numbers`. Because names
are translated in one direction and the result inverted, the table holds both.
"""

import functools
import re
from typing import NamedTuple

from einops import rearrange


class Row(NamedTuple):
  """How a part of a name is written in each place.

  Attributes:
    ours: pattern of the beginning of the name.
    diffusers, sgm: templates; the last part of the name is appended unless {leaf} places it.
    then: group of the rest of the name.
    part: which third of the tensor (sgm's CLIP keeps queries, keys and values in one).
    layout: a name in LAYOUTS where sgm's differs from what the rank says.
  """
  ours: str
  diffusers: str
  sgm: str
  then: str = 'leaf'
  part: int | None = None
  layout: str | None = None


UNET = 'model.diffusion_model.'
CONDITIONER = 'conditioner.embedders.{vae}.encoder.'
FIRST_STAGE = 'first_stage_model.'
VISUAL = 'conditioner.embedders.0.open_clip.model.visual.'

TABLE = {
    'unet': (
        Row('conv_in', '=', UNET + 'input_blocks.0.0'),
        Row('time_embedding/linear_{i}', '=', UNET + 'time_embed.{from_0}'),
        Row('add_embedding/linear_{i}', '=', UNET + 'label_emb.0.{from_0}'),
        Row('down_blocks/{i}/resnets/{j}', '=', UNET + 'input_blocks.{down}.0', 'resnet'),
        Row('down_blocks/{i}/attentions/{j}', '=', UNET + 'input_blocks.{down}.1', 'transformer'),
        Row('down_blocks/{i}/downsamplers/0/conv', '=', UNET + 'input_blocks.{down_end}.0.op'),
        Row('mid_block/resnets/{j}', '=', UNET + 'middle_block.{mid}', 'resnet'),
        Row('mid_block/attentions/0', '=', UNET + 'middle_block.1', 'transformer'),
        Row('up_blocks/{i}/resnets/{j}', '=', UNET + 'output_blocks.{up}.0', 'resnet'),
        Row('up_blocks/{i}/attentions/{j}', '=', UNET + 'output_blocks.{up}.1', 'transformer'),
        Row('up_blocks/{i}/upsamplers/0/conv', '=', UNET + 'output_blocks.{up_end}.{after}.conv'),
        Row('conv_norm_out', '=', UNET + 'out.0'),
        Row('conv_out', '=', UNET + 'out.2')),
    'resnet': (
        Row('spatial_res_block', '{spatial}', '', 'resblock'),
        Row('temporal_res_block', '=', 'time_stack', 'resblock'),
        Row('time_mixer', '=', 'time_mixer')),
    'resblock': (
        Row('norm1', '=', 'in_layers.0'), Row('conv1', '=', 'in_layers.2'),
        Row('time_emb_proj', '=', 'emb_layers.1'),
        Row('norm2', '=', 'out_layers.0'), Row('conv2', '=', 'out_layers.3'),
        Row('conv_shortcut', '=', 'skip_connection')),
    'transformer': (
        Row('temporal_transformer_blocks/{j}', '=', 'time_stack.{j}', 'same'),
        Row('time_pos_embed/linear_{i}', '=', 'time_pos_embed.{from_0}'),
        Row('', '', '', 'same')),
    'vae': (
        Row('encoder', '=', CONDITIONER + 'encoder', 'vae_half'),
        Row('quant_conv', '=', CONDITIONER + 'quant_conv'),
        Row('post_quant_conv', '=', FIRST_STAGE + 'post_quant_conv'),
        Row('decoder', '=', FIRST_STAGE + 'decoder', 'vae_half')),
    'vae_half': (
        Row('down_blocks/{i}/resnets/{j}', '=', 'down.{i}.block.{j}', 'vae_resblock'),
        Row('down_blocks/{i}/downsamplers/0/conv', '=', 'down.{i}.downsample.conv'),
        Row('up_blocks/{i}/resnets/{j}', '=', 'up.{level}.block.{j}', 'vae_resnet'),
        Row('up_blocks/{i}/upsamplers/0/conv', '=', 'up.{level}.upsample.conv'),
        Row('mid_block/resnets/{j}', '=', 'mid.block_{from_1}', 'vae_resnet'),
        Row('mid_block/attentions/0', '=', 'mid.attn_1', 'vae_attention'),
        Row('conv_norm_out', '=', 'norm_out'),
        Row('time_conv_out', '=', 'conv_out.time_mix_conv'), Row('', '', '', 'same')),
    'vae_resnet': (
        Row('spatial_res_block', '{spatial}', '', 'vae_resblock'),
        Row('temporal_res_block', '=', 'time_stack', 'resblock'),
        Row('time_mixer', '=', ''),
        Row('', '', '', 'vae_resblock')),
    'vae_resblock': (Row('conv_shortcut', '=', 'nin_shortcut'), Row('', '', '', 'same')),
    'vae_attention': (
        Row('group_norm', '=', 'norm'), Row('to_q', '=', 'q', layout='pointwise'),
        Row('to_k', '=', 'k', layout='pointwise'), Row('to_v', '=', 'v', layout='pointwise'),
        Row('to_out/0', '=', 'proj_out', layout='pointwise')),
    'clip_image': (
        Row('vision_model/embeddings/class_embedding', '=', VISUAL + 'class_embedding', ''),
        Row('vision_model/embeddings/position_embedding/embedding',
            'vision_model.embeddings.position_embedding.weight',
            VISUAL + 'positional_embedding', ''),
        Row('vision_model/embeddings/patch_embedding', '=', VISUAL + 'conv1'),
        Row('vision_model/pre_layrnorm', '=', VISUAL + 'ln_pre'),
        Row('vision_model/encoder/layers', 'vision_model.encoder.layers.{layer}',
            VISUAL + 'transformer.resblocks.{layer}', 'clip_layer'),
        Row('vision_model/post_layernorm', '=', VISUAL + 'ln_post'),
        Row('visual_projection/kernel', 'visual_projection.weight', VISUAL + 'proj', '',
            layout='same')),
    'clip_text': (  # sgm's single file of a video model holds no text tower that is used
        Row('text_model/encoder/layers', 'text_model.encoder.layers.{layer}', '', 'clip_layer'),
        Row('', '', '', 'same')),
    'clip_layer': (
        Row('layer_norm1', '=', 'ln_1'), Row('layer_norm2', '=', 'ln_2'),
        Row('self_attn/q_proj', '=', 'attn.in_proj_{leaf}', part=0),
        Row('self_attn/k_proj', '=', 'attn.in_proj_{leaf}', part=1),
        Row('self_attn/v_proj', '=', 'attn.in_proj_{leaf}', part=2),
        Row('self_attn/out_proj', '=', 'attn.out_proj'),
        Row('mlp/fc1', '=', 'mlp.c_fc'), Row('mlp/fc2', '=', 'mlp.c_proj')),
}
LEAVES = {'kernel': 'weight', 'scale': 'weight', 'embedding': 'weight', 'bias': 'bias',
          'mix_factor': 'mix_factor'}
PARTS = 3  # queries, keys and values
# Patterns of PyTorch's axes and ours.
LAYOUTS = {'linear': ('o i', 'i o'), 'conv': ('o i h w', 'h w i o'),
           'temporal': ('o i t 1 1', 't i o'), 'pointwise': ('o i 1 1', 'i o'),
           'same': ('...', '...')}
KERNELS = {2: 'linear', 3: 'temporal', 4: 'conv'}  # by our rank
# Tensors of a file that have no place in ours: buffers, and what the released file holds twice or
# does not use (svd_model 3.4, 4.1).
UNUSED = {
    'diffusers': (r'.*\.position_ids',),
    'sgm': (r'first_stage_model\.(encoder|quant_conv|loss)\..*', r'model_ema\..*', r'denoiser\..*',
            r'conditioner\.embedders\.\d+\.encoder\.(decoder|post_quant_conv|loss)\..*',
            r'conditioner\.embedders\.0\.(mean|std)',
            r'conditioner\.embedders\.0\.open_clip\.model\.(?!visual\.).*'),
}
# Spellings of older and newer versions of the PyTorch libraries, (theirs, the table's).
MIDDLE = r'((?:en|de)coder\.mid_block\.attentions\.0\.)'
OTHER_SPELLINGS = {
    'vae': ((MIDDLE + r'query\.', r'\1to_q.'), (MIDDLE + r'key\.', r'\1to_k.'),
            (MIDDLE + r'value\.', r'\1to_v.'), (MIDDLE + r'proj_attn\.', r'\1to_out.0.')),
    'clip_text': ((r'(embeddings|encoder\.layers|final_layer_norm)\.', r'text_model.\1.'),),
}


class Place(NamedTuple):
  """Where a tensor (or one layer of a stacked tensor) is in a file of another program."""
  name: str
  layout: str
  part: int | None


class Depth(NamedTuple):
  """What the numbers in a network's names depend on.

  Attributes:
    blocks: ResBlocks of a level on the way down.
    attention: for each level of the UNet, whether it has transformers.
    levels: of the network.
    temporal: whether ResBlocks have a temporal part.
    vae: index of the autoencoder among sgm's conditioners.
  """
  blocks: int = 2
  attention: tuple[bool, ...] = ()
  levels: int = 4
  temporal: bool = True
  vae: int = 3


def _numbers(found, depth, layer):
  """The fields of templates: i and j of the name and what sgm counts instead."""
  i, j = int(found.get('i', 0)), int(found.get('j', 0))
  up = depth.blocks + 1  # ResBlocks of a level on the way up
  mirrored = depth.attention[::-1]
  return dict(
      i=i, j=j, layer=layer, vae=depth.vae, spatial='spatial_res_block' if depth.temporal else '',
      down=up * i + j + 1, down_end=up * (i + 1), mid=2 * j, up=up * i + j,
      up_end=up * i + depth.blocks, after=1 + bool(mirrored[i:i + 1] and mirrored[i]),
      level=depth.levels - 1 - i, from_1=j + 1, from_0=2 * i - 2)


@functools.cache
def _pattern(ours):
  return re.compile(re.sub(r'\{(\w)\}', r'(?P<\1>\\d+)', ours) + (r'(?:/|$)' if ours else ''))


def place(name, rank, dialect, depth, layer=None):
  """Where a tensor of ours is in a file of `dialect`, 'diffusers' or 'sgm'.

  Args:
    name: of the tensor, with its network: 'unet/conv_in/kernel'.
    rank: of the tensor, of one layer where layers are stacked.
    dialect: a column of the table.
    depth: the network's Depth.
    layer: index along the first axis of a stacked tensor.
  """
  group, _, rest = name.partition('/')
  given = rest.rpartition('/')[2]
  leaf, kernel = LEAVES.get(given, given), given == 'kernel'
  parts, row = [], None
  while group in TABLE:
    row, match = next((row, m) for row in TABLE[group] if (m := _pattern(row.ours).match(rest)))
    template = getattr(row, dialect)
    parts.append(match[0].rstrip('/').replace('/', '.') if template == '=' else
                 template.format(leaf=leaf, **_numbers(match.groupdict(), depth, layer)))
    rest, group = rest[match.end():], row.then
  if group == 'same':
    parts.append(rest.rpartition('/')[0].replace('/', '.'))
  if group and '{leaf}' not in template:
    parts.append(leaf)
  layout = KERNELS[rank] if kernel else 'same'
  part = None
  if dialect == 'sgm':
    layout, part = kernel and row.layout or layout, row.part
  return Place('.'.join(filter(None, parts)), layout, part)


def to_ours(array, layout):
  """A PyTorch tensor in our layout."""
  theirs, ours = LAYOUTS[layout]
  return rearrange(array, f'{theirs} -> {ours}')


def to_theirs(array, layout):
  """The inverse of `to_ours`."""
  theirs, ours = LAYOUTS[layout]
  return rearrange(array, f'{ours} -> {theirs}')


def their_shape(shape, layout):
  """The shape that `to_theirs` gives."""
  theirs, ours = (axes.split() for axes in LAYOUTS[layout])
  if layout == 'same':
    return tuple(shape)
  sizes = dict(zip(ours, shape)) | {'1': 1}
  return tuple(sizes[axis] for axis in theirs)
