"""Files whose tensors do not tell sizes, or not those of their config: named, never guessed at."""

import json
import shutil

import numpy as np
import pytest
from safetensors import numpy as st

from svdjax import checkpoint
from svdjax.convert import from_diffusers, from_sgm, to_diffusers
from svdjax.core import weights
from svdjax.core.errors import BadInput

STEMS = {'unet': 'diffusion_pytorch_model', 'vae': 'diffusion_pytorch_model',
         'image_encoder': 'model'}
CONV1 = 'down_blocks.1.resnets.0.spatial_res_block.conv1.weight'
LAYER = 'vision_model.encoder.layers.1.'


def without(tensors, start):
  return {n: x for n, x in tensors.items() if not n.startswith(start)}


def drop(component, start):
  """A change of a folder: tensors whose names start so are left out."""
  return change(component, lambda tensors: without(tensors, start))


def replace(component, name, make):
  """A change of a folder: one tensor becomes make(tensor)."""
  return change(component, lambda tensors: tensors | {name: make(tensors[name])})


def change(component, edit):
  def apply(folder):
    file = folder / component / f'{STEMS[component]}.safetensors'
    st.save_file(edit(st.load_file(file)), file)
  return apply


def told(component, **fields):
  """A change of a folder: config.json says something else; None leaves the field out."""
  def apply(folder):
    file = folder / component / 'config.json'
    config = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({n: x for n, x in config.items() if x is not None}))
  return apply


flat = lambda x: x.reshape(-1)
FAULTS = {
    'kernel of a level': (drop('unet', CONV1), f'unet: {CONV1} is missing'),
    'norm of a level': (drop('unet', CONV1.replace('conv1', 'norm1')),
                        r'unet: down_blocks.1.*norm1.weight is missing: the file'),
    'kernel of the autoencoder': (drop('vae', 'encoder.down_blocks.1.resnets.0.conv1.weight'),
                                  'vae: encoder.down_blocks.1.resnets.0.conv1.weight is missing'),
    'norm of CLIP': (drop('image_encoder', LAYER + 'layer_norm1.weight'),
                     f'image_encoder: {LAYER}layer_norm1.weight is missing: the file'),
    'last layer of CLIP': (drop('image_encoder', LAYER),
                           'config.json has num_hidden_layers 2 and the tensors make it 1'),
    'vector': (drop('unet', 'add_embedding'), 'unet: add_embedding.linear_1.weight is missing'),
    'attention of a level': (drop('unet', 'down_blocks.0.attentions'),
                             'down_block_types .* and the tensors make it'),
    'rank of a level': (replace('unet', CONV1, flat),
                        rf'{CONV1} has shape \(18432,\) where 4 axes are needed'),
    'rank of conv_in': (replace('unet', 'conv_in.weight', flat),
                        'unet: conv_in.weight has shape .* where 4 axes are needed'),
    'rank in the decoder': (replace('vae', 'decoder.conv_in.weight', flat),
                            'vae: decoder.conv_in.weight has shape .* where 4 axes are needed'),
    'integers': (replace('unet', 'conv_in.weight', lambda x: x.astype(np.int8)),
                 'unet: conv_in.weight holds integers or 8-bit floats'),
    'integers in a bias': (replace('unet', 'conv_out.bias', lambda x: x.astype(np.int8)),
                           'unet: conv_out.bias holds integers or 8-bit floats'),
    'depth': (told('unet', layers_per_block=2), 'layers_per_block 2 and the tensors make it 1'),
    'widths': (told('unet', block_out_channels=[32, 32]),
               r'block_out_channels \[32, 32\] and the tensors make it \(32, 64\)'),
    'heads that do not divide': (told('unet', num_attention_heads=[3, 4]),
                                 r'has \[3, 4\] attention heads for channels \[32, 64\]'),
    'heads of one level': (told('unet', num_attention_heads=[2]), r'has \[2\] attention heads for'),
    'no heads': (told('unet', num_attention_heads=0), 'has 0 attention heads'),
    'heads left out': (told('unet', num_attention_heads=None),
                       r'has \(5, 10, 20, 20\) attention heads for channels \[32, 64\]'),
    'heads of CLIP': (told('image_encoder', num_attention_heads=5),
                      'has 5 attention heads for a width of 32'),
    'no class': (told('unet', _class_name=None), 'unet/config.json names no class'),
    'index': (lambda f: (f / 'model_index.json').write_text('[1]'),
              'model_index.json holds a JSON list where an object is needed'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_folders(assert_refused, fault):
  assert_refused(*FAULTS[fault], from_diffusers.convert)


VISUAL = 'conditioner.embedders.0.open_clip.model.visual.'
SINGLE = {
    'vector': ('model.diffusion_model.label_emb', 'label_emb.0.0.weight is missing'),
    'last layer of CLIP': (f'{VISUAL}transformer.resblocks.1.',
                           'visual.transformer.resblocks.1.ln_1.weight is missing'),
    'kernel of a level': ('model.diffusion_model.input_blocks.3.0.in_layers.2.weight',
                          'input_blocks.3.0.in_layers.2.weight is missing'),
    'norm of a level': ('model.diffusion_model.input_blocks.3.0.in_layers.0.weight',
                        'input_blocks.3.0.in_layers.0.weight is missing: the file'),
}


@pytest.mark.parametrize('fault', SINGLE)
def test_single_files(single, tmp_path, fault):
  start, message = SINGLE[fault]
  st.save_file(without(st.load_file(single), start), tmp_path / 'f.safetensors',
               weights.Weights([single]).metadata)
  with pytest.raises(BadInput, match=message):
    from_sgm.convert(tmp_path / 'f.safetensors', tmp_path / 'out')


@pytest.mark.parametrize('metadata, message', [
    ({'svdjax': '{'}, 'the metadata of .*f.safetensors is not JSON'),
    ({'svdjax': '{"unet": 3}'}, 'says unet is 3, which svdjax never writes'),
    ({'svdjax': '{"unet": {"head_dim": "wide"}}'}, "says unet.head_dim is 'wide'"),
    ({'svdjax': '{"unet": {"head_dim": [16, 0]}}'}, r'says unet.head_dim is \[16, 0\]'),
    ({'svdjax': '{"clip_image": {"heads": 2.5}}'}, 'says clip_image.heads is 2.5'),
    ({'svdjax': '{"data": {"frames": true}}'}, 'says data.frames is True'),
    ({'svdjax': '{"preset": "svd2"}'}, "says preset is 'svd2'"),
    ({}, r'attention heads of 64 do not divide channels \[32, 64\]')])
def test_single_files_whose_metadata_cannot_be_used(single, tmp_path, metadata, message):
  st.save_file(st.load_file(single), tmp_path / 'f.safetensors', metadata)
  with pytest.raises(BadInput, match=message):
    from_sgm.convert(tmp_path / 'f.safetensors', tmp_path / 'out')


def test_counters_alone_are_no_moving_average(single, converted, tmp_path):
  counters = {'model_ema.num_updates': np.array(3), 'model_ema.decay': np.float32([0.999])}
  st.save_file(st.load_file(single) | counters, tmp_path / 'f.safetensors',
               weights.Weights([single]).metadata)
  from_sgm.convert(tmp_path / 'f.safetensors', tmp_path / 'out')
  params = checkpoint.load(tmp_path / 'out')[1]
  for name, x in checkpoint.load(converted)[1].items():
    np.testing.assert_array_equal(params[name], x)


def test_damaged_checkpoints(folder, converted, tmp_path):
  torn = shutil.copytree(converted, tmp_path / 'torn')
  (torn / 'config.json').write_text('{"model": ')
  partial = shutil.copytree(converted, tmp_path / 'partial')
  (partial / 'params' / 'vae.safetensors').unlink()
  for path, message in ((torn, 'config.json is not JSON'),
                        (partial, 'lacks its vae .params/vae.safetensors.: convert it again'),
                        (folder, 'or convert it first with svdjax.convert')):
    with pytest.raises(BadInput, match=message):
      to_diffusers.convert(path, tmp_path / 'out')
