"""The table of names against the released model: every tensor, both other names, its shape."""

import hashlib
import re

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from svdjax.convert import sizes, store, table
from svdjax.convert.mapping import Mapping, depth

SVD = {
    'unet': dict(in_channels=8, out_channels=4, channels=(320, 640, 1280, 1280),
                 attention=(True, True, True, False), blocks=2, head_dim=64, context_dim=1024,
                 vector_dim=768, temporal='svd'),
    'vae': dict(channels=(128, 256, 512, 512), blocks=2, latent_channels=4, temporal=True,
                middle=2, post_quant=False),
    'clip_image': dict(width=1280, layers=32, heads=16, mlp=5120, patch=14, size=224,
                       projection=1024),
}
# SHA-256 of the sorted lines "diffusers name, shape, name in the original file" of all tensors,
# separated by tabs; made once from the instantiated PyTorch models.
RELEASED = {
    'unet': (1428, 'd669a2b320d445ae7f7a828918df50ecf704f9246e73cbc17d0f7f6c33774440'),
    'vae': (374, 'b9f43793df55cde107fe76af7a72dfee68edad3512ba76afe8e1ff276b066dca'),
}


def both(network, fields):
  shapes = store.shapes_of(network, fields)
  return [Mapping(network, shapes, dialect, depth(network, fields))
          for dialect in ('diffusers', 'sgm')]


@pytest.mark.parametrize('network', RELEASED)
def test_every_tensor_of_the_released_model_has_its_names_and_shape(network):
  diffusers, sgm = both(network, SVD[network])
  lines = sorted(f'{a.there.name}\t{diffusers.theirs[a.there.name]}\t{b.there.name}'
                 for a, b in zip(diffusers.entries, sgm.entries))
  digest = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
  assert (len(lines), digest) == RELEASED[network]


@pytest.mark.parametrize('ours, diffusers, sgm', [
    ('unet/down_blocks/1/resnets/0/spatial_res_block/conv_shortcut/kernel',
     'down_blocks.1.resnets.0.spatial_res_block.conv_shortcut.weight',
     'model.diffusion_model.input_blocks.4.0.skip_connection.weight'),
    ('unet/up_blocks/0/upsamplers/0/conv/bias', 'up_blocks.0.upsamplers.0.conv.bias',
     'model.diffusion_model.output_blocks.2.1.conv.bias'),
    ('unet/up_blocks/1/upsamplers/0/conv/bias', 'up_blocks.1.upsamplers.0.conv.bias',
     'model.diffusion_model.output_blocks.5.2.conv.bias'),
    ('unet/mid_block/attentions/0/time_pos_embed/linear_2/kernel',
     'mid_block.attentions.0.time_pos_embed.linear_2.weight',
     'model.diffusion_model.middle_block.1.time_pos_embed.2.weight'),
    ('vae/decoder/up_blocks/0/resnets/2/time_mixer/mix_factor',
     'decoder.up_blocks.0.resnets.2.time_mixer.mix_factor',
     'first_stage_model.decoder.up.3.block.2.mix_factor'),
    ('vae/encoder/mid_block/attentions/0/to_out/0/kernel',
     'encoder.mid_block.attentions.0.to_out.0.weight',
     'conditioner.embedders.3.encoder.encoder.mid.attn_1.proj_out.weight')])
def test_some_names_to_read(ours, diffusers, sgm):
  where = depth(ours.split('/')[0], SVD[ours.split('/')[0]])
  assert table.place(ours, 2, 'diffusers', where).name == diffusers
  assert table.place(ours, 2, 'sgm', where).name == sgm


def test_the_image_encoder_of_the_released_model():
  """Counts of svd_model 4.1; the original keeps queries, keys and values in one tensor."""
  diffusers, sgm = both('clip_image', SVD['clip_image'])
  assert len(diffusers.theirs) == 520
  assert sum(map(np.prod, diffusers.theirs.values())) == 632_076_800
  layers = 32
  assert len(sgm.theirs) == 520 - 4 * layers
  assert sum(map(np.prod, sgm.theirs.values())) == 632_076_800
  fused = sgm.theirs['conditioner.embedders.0.open_clip.model.visual.transformer.resblocks.31.'
                     'attn.in_proj_weight']
  assert fused == (3840, 1280)


def test_all_of_stable_diffusion_2_1_has_a_place():
  """At full size: 686 tensors, all in the released video UNet but for new input channels."""
  image = dict(in_channels=4, temporal='none', vector_dim=0)
  made = {}
  for name, fields in (('image', image), ('video', {})):
    sizes = dict(blocks=2, attention=(True, True, True, False), channels=(320, 640, 1280, 1280),
                 temporal='svd') | fields
    made[name] = Mapping('unet', store.shapes_of('unet', sizes), 'diffusers', depth('unet', sizes))
  theirs = made['image'].theirs
  assert len(theirs) == 686 and sum(map(np.prod, theirs.values())) == 865_910_724
  assert not any('spatial_res_block' in n for n in theirs)
  video_names = {re.sub(r'(resnets\.\d+)\.spatial_res_block', r'\1', n): s
                 for n, s in made['video'].theirs.items()}
  assert {n for n, s in theirs.items() if video_names[n] != s} == {'conv_in.weight'}
  assert table.place('unet/conv_in/kernel', 4, 'diffusers', table.Depth()).name == 'conv_in.weight'


@pytest.mark.parametrize('network', SVD)
@pytest.mark.parametrize('dialect', ['diffusers', 'sgm'])
def test_sizes_are_read_from_shapes(network, dialect):
  found = both(network, SVD[network])[dialect == 'sgm']
  specs = found.their_specs(np.dtype(np.float16))
  told = {n: x for n, x in SVD[network].items() if n != 'head_dim'}  # which no shape tells
  assert getattr(sizes, network)(specs, dialect) == told


LEVELS = st.lists(st.tuples(st.sampled_from([32, 64, 96]), st.booleans()), min_size=1, max_size=3)


@hypothesis.settings(max_examples=10, deadline=None)
@hypothesis.given(levels=LEVELS, blocks=st.integers(1, 3),
                  temporal=st.sampled_from(['svd', 'none']))
def test_any_width_and_depth_is_told_by_its_tensors(levels, blocks, temporal):
  channels, attention = zip(*levels)
  fields = dict(in_channels=5, out_channels=3, channels=channels, attention=attention,
                blocks=blocks, context_dim=12, vector_dim=20, temporal=temporal)
  for dialect, found in zip(('diffusers', 'sgm'), both('unet', fields)):
    assert len(found.theirs) == len(found.shapes)
    assert sizes.unet(found.their_specs(np.dtype(np.float32)), dialect) == fields


@pytest.mark.parametrize('layout', table.LAYOUTS)
def test_layouts_turn_back(layout):
  theirs, _ = table.LAYOUTS[layout]
  axes = ['i', 'o'] if layout == 'same' else theirs.split()
  shape = [{'o': 2, 'i': 3, 't': 3, 'h': 4, 'w': 5, '1': 1}[axis] for axis in axes]
  array = np.random.default_rng(0).standard_normal(shape)
  ours = table.to_ours(array, layout)
  assert table.their_shape(ours.shape, layout) == array.shape
  np.testing.assert_array_equal(table.to_theirs(ours, layout), array)
