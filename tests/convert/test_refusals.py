"""What the conversion command refuses, each in one sentence and before it writes."""

import json
import shutil

import numpy as np
import pytest
from safetensors import numpy as st

from svdjax import checkpoint
from svdjax.convert import __main__ as command
from svdjax.core import weights
from svdjax.core.errors import BadInput


def run(*arguments):
  command.main([str(a) for a in arguments])


def spoil(folder, change):
  """Rewrites the UNet of a folder with its tensors changed."""
  file = folder / 'unet' / 'diffusion_pytorch_model.safetensors'
  tensors = st.load_file(file)
  change(tensors)
  st.save_file(tensors, file)


def misshape(tensors):
  tensors['conv_out.weight'] = tensors['conv_out.weight'][..., :2].copy()


BROKEN = {
    'missing': (lambda f: spoil(f, lambda t: t.pop('mid_block.attentions.0.norm.bias')),
                'unet: mid_block.attentions.0.norm.bias is missing'),
    'extra': (lambda f: spoil(f, lambda t: t.update({'lora.up': np.ones(2, np.float32)})),
              'unet: lora.up has no place'),
    'misshapen': (lambda f: spoil(f, misshape),
                  r'conv_out.weight has shape \(4, 32, 3, 2\) where \(4, 32, 3, 3\) is needed'),
    'truncated': (lambda f: (f / 'vae' / 'diffusion_pytorch_model.safetensors').write_bytes(
        (f / 'vae' / 'diffusion_pytorch_model.safetensors').read_bytes()[:-4]), 'is truncated'),
    'empty': (lambda f: (f / 'vae' / 'diffusion_pytorch_model.safetensors').write_bytes(b''),
              'is truncated or no safetensors'),
    'pickle': (lambda f: (f / 'unet' / 'diffusion_pytorch_model.safetensors').rename(
        f / 'unet' / 'diffusion_pytorch_model.bin'), 'is a pickle.*never opened'),
    'class': (lambda f: (f / 'model_index.json').write_text('{"_class_name": "FluxPipeline"}'),
              'holds a FluxPipeline'),
    'component': (lambda f: shutil.rmtree(f / 'image_encoder'), 'has no image_encoder folder'),
    'component class': (lambda f: edit(f / 'vae' / 'config.json', _class_name='AutoencoderDC'),
                        'vae holds a AutoencoderDC'),
    'activation': (lambda f: edit(f / 'image_encoder' / 'config.json', hidden_act='relu'),
                   "hidden_act 'relu', and svdjax computes 'gelu or quick_gelu'"),
    'depth': (lambda f: edit(f / 'unet' / 'config.json', transformer_layers_per_block=2),
              'transformer_layers_per_block 2'),
    'prediction': (lambda f: edit(f / 'scheduler' / 'scheduler_config.json',
                                  prediction_type='epsilon'), "prediction_type 'epsilon'"),
    'sigmas': (lambda f: edit(f / 'scheduler' / 'scheduler_config.json', use_karras_sigmas=False),
               'use_karras_sigmas False'),
    'normalisation': (lambda f: edit(f / 'feature_extractor' / 'preprocessor_config.json',
                                     image_mean=[0.5] * 3), r'image_mean \[0.5, 0.5, 0.5\]'),
    'shards': (lambda f: (f / 'vae' / 'diffusion_pytorch_model.safetensors').rename(
        f / 'vae' / 'diffusion_pytorch_model.safetensors.index.json').write_text('{}'),
               'is no index of safetensors files'),
    'vector': (lambda f: edit(f / 'unet' / 'config.json', addition_time_embed_dim=48),
               'projection_class_embeddings_input_dim 96'),
    'no index': (lambda f: (shutil.rmtree(f / 'image_encoder'), (f / 'model_index.json').unlink()),
                 'has no model_index.json'),
    'json': (lambda f: (f / 'unet' / 'config.json').write_text('{'), 'config.json is not JSON'),
}


def edit(path, **fields):
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize('fault', BROKEN)
def test_broken_folders_are_refused_in_one_sentence(assert_refused, fault):
  assert_refused(*BROKEN[fault], lambda *paths: run('from-diffusers', *paths))


def test_broken_single_files_are_refused(single, tmp_path):
  tensors, metadata = st.load_file(single), weights.Weights([single]).metadata
  name = 'first_stage_model.decoder.conv_in.weight'
  for change, message in (
      (lambda t: t.pop(name), f'{name} is missing'),
      (lambda t: t.update({'model.diffusion_model.x': np.ones(1, np.float32)}), 'x has no place'),
      (lambda t: t.update({name: t[name][:2].copy()}), f'{name} has shape'),
      (lambda t: [t.pop(n) for n in list(t) if 'quant_conv' in n], 'quant_conv.weight is missing')):
    changed = dict(tensors)
    change(changed)
    st.save_file(changed, tmp_path / 'f.safetensors', metadata)
    with pytest.raises(BadInput, match=message):
      run('from-sgm', tmp_path / 'f.safetensors', tmp_path / 'out')
  pickle = tmp_path / 'model.ckpt'
  pickle.write_bytes(b'cos\nsystem\n')
  for source, message in ((pickle, 'is a pickle'), (tmp_path, 'is a folder: from-sgm takes'),
                          (tmp_path / 'none.safetensors', 'is not a file')):
    with pytest.raises(BadInput, match=message):
      run('from-sgm', source, tmp_path / 'out')
  with pytest.raises(BadInput, match='is a file: from-diffusers takes a folder'):
    run('from-diffusers', single, tmp_path / 'out')


def test_a_preset_of_another_kind_of_model_is_refused(folder, single, tmp_path):
  for way, source in (('from-diffusers', folder), ('from-sgm', single)):
    with pytest.raises(BadInput, match='--preset sv3d_p is of a model that is told cond_aug, '
                                       'polar, azimuth; this one is like svd: use that'):
      run(way, source, tmp_path / 'out', '--preset', 'sv3d_p')


def test_a_full_disk_is_noticed_before_writing(folder, converted, single, tmp_path, monkeypatch):
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: shutil._ntuple_diskusage(9, 8, 1000))
  for way, source in (('from-diffusers', folder), ('from-sgm', single),
                      ('to-diffusers', converted), ('to-sgm', converted)):
    with pytest.raises(BadInput, match='GiB free and .* GiB are to be written'):
      run(way, source, tmp_path / 'out.safetensors')
  assert not list(tmp_path.iterdir())


def test_what_exists_is_never_replaced(folder, converted, single, tmp_path):
  for way, source, out in (('from-diffusers', folder, converted), ('to-sgm', converted, single),
                           ('to-diffusers', converted, folder)):
    with pytest.raises(BadInput, match='exists already'):
      run(way, source, out)
  with pytest.raises(BadInput, match='does not end in .safetensors'):
    run('to-sgm', converted, tmp_path / 'x.ckpt')


def test_values_beyond_float16_are_refused_and_leave_nothing(folder, tmp_path):
  large = shutil.copytree(folder, tmp_path / 'large')
  spoil(large, lambda t: t.update({'conv_out.bias': np.full(4, 1e6, np.float32)}))
  with pytest.raises(BadInput, match='conv_out.bias has values beyond the range of float16'):
    run('from-diffusers', large, tmp_path / 'out', '--dtype', 'float16')
  assert [p.name for p in tmp_path.iterdir()] == ['large']
  run('from-diffusers', large, tmp_path / 'out', '--dtype', 'bfloat16')
  with pytest.raises(BadInput, match='has values beyond the range of float16'):
    run('to-sgm', tmp_path / 'out', tmp_path / 'f.safetensors', '--dtype', 'float16')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['large', 'out']


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(converted, tmp_path, monkeypatch):
  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(weights, '_fill', full)
  for way in ('to-diffusers', 'to-sgm'):
    with pytest.raises(BadInput, match=r'cannot be written \(No space left on device\)'):
      run(way, converted, tmp_path / 'out.safetensors')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name, changes, message', [
    ('temporal', {'model.unet.temporal': 'attention'}, 'temporal layers "attention"'),
    ('mask', {'model.mask': {'height': 2, 'width': 2, 'channels': 4}}, 'a first and a last frame'),
    ('lora', {'model.lora': {'rank': 2, 'alpha': 2., 'targets': ['.*']}}, 'merge-lora'),
    ('groups', {'model.vae.groups': 8}, 'normalises vae in 8 groups'),
    ('middle', {'model.vae.middle': 1}, '1 ResBlocks in the middle of its decoder'),
    ('image', {'model.vae.middle': 1, 'model.vae.blocks': 1, 'model.vae.temporal': False},
     '1 ResBlocks in the middle of its decoder'),
    ('task', {'task': 'autoencoding'}, 'of task autoencoding')])
def test_models_that_pytorch_does_not_have(converted, tmp_path, name, changes, message):
  path = shutil.copytree(converted, tmp_path / name)
  config = checkpoint.load_config(path)
  config.update_from_flattened_dict(changes)
  (path / 'config.json').write_text(json.dumps(config.to_dict()))
  for way in ('to-diffusers', 'to-sgm'):
    with pytest.raises(BadInput, match=message):
      run(way, path, tmp_path / 'out.safetensors')
