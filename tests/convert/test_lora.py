"""LoRA files under the names of diffusers and PEFT."""

import json

import jax
import numpy as np
import pytest
from safetensors import numpy as st

from svdjax import checkpoint, sample
from svdjax.convert import lora as lora_file
from svdjax.convert import merge, store
from svdjax.convert.mapping import depth
from svdjax.core.errors import BadInput
from svdjax.models import lora


@pytest.fixture(scope='module')
def unet(world):
  """(kernels that may be adapted, depth) of the UNet of world.VIDEO."""
  sizes = world.VIDEO['unet']
  shapes = store.shapes_of('unet', sizes)
  return {n: s for n, s in shapes.items() if 'attn' in n and n.endswith('kernel')}, depth(
      'unet', sizes)


@pytest.fixture(scope='module')
def factors(unet):
  shapes = {n: jax.ShapeDtypeStruct(s, np.float32) for n, s in unet[0].items()}
  made = lora.init(shapes, (lora.TEMPORAL_ATTENTION,), 4, jax.random.key(0))
  rng = np.random.default_rng(0)
  return {n: rng.standard_normal(x.shape).astype(np.float32) * 0.1 for n, x in made.items()}


def test_out_and_in_again_is_the_same(unet, factors, tmp_path):
  lora_file.save(tmp_path / 'lora.safetensors', factors, 8., unet[1])
  again, scales = lora_file.load(tmp_path / 'lora.safetensors', *unet)
  assert again.keys() == factors.keys() and set(scales.values()) == {2.}
  for name, x in factors.items():
    np.testing.assert_array_equal(again[name], x)
  names = st.load_file(tmp_path / 'lora.safetensors')
  module = 'unet.up_blocks.1.attentions.0.temporal_transformer_blocks.0.attn1.to_out.0'
  assert names[f'{module}.lora_A.weight'].shape == (4, 32)
  assert names[f'{module}.lora_B.weight'].shape == (32, 4)


@pytest.mark.parametrize('down, up, prefix', [
    ('lora_A.weight', 'lora_B.weight', ''), ('lora.down.weight', 'lora.up.weight', 'unet.'),
    ('lora_A.default.weight', 'lora_B.default.weight', 'base_model.model.')])
def test_other_spellings(unet, tmp_path, down, up, prefix):
  name = next(n for n in unet[0] if n.endswith('attn1/to_q/kernel'))
  module = next(m for m, n in lora_file.modules([name], unet[1]).items())
  i, o = unet[0][name]
  st.save_file({f'{prefix}{module}.{down}': np.ones((2, i), np.float32),
                f'{prefix}{module}.{up}': np.ones((o, 2), np.float32),
                f'{prefix}{module}.alpha': np.float32(1)[None][0:1].reshape(())},
               tmp_path / 'f.safetensors')
  factors, scales = lora_file.load(tmp_path / 'f.safetensors', *unet)
  assert factors[f'{name}/a'].shape == (i, 2) and scales == {name: 0.5}


def test_files_that_do_not_fit_are_refused(unet, factors, tmp_path):
  file = tmp_path / 'f.safetensors'
  lora_file.save(file, factors, 4., unet[1])
  tensors = st.load_file(file)
  first = next(n for n in tensors if 'lora_B' in n)
  for change, message in ((lambda t: t.update(x=np.ones(1)), 'x adapts nothing in this UNet'),
                          (lambda t: t.pop(first), 'has one factor alone of unet/'),
                          (lambda t: t.update({first: np.ones((3, 4))}),
                           'with factors .* has shape')):
    changed = dict(tensors)
    change(changed)
    st.save_file(changed, file)
    with pytest.raises(BadInput, match=message):
      lora_file.load(file, *unet)


def test_sampling_adds_several_with_weights(unet, factors, converted, tmp_path):
  lora_file.save(tmp_path / 'lora.safetensors', factors, 4., unet[1])
  other = {n: x[:2] if n.endswith('/b') else x[:, :2] for n, x in factors.items()}
  lora_file.save(tmp_path / 'other.safetensors', other, 2., unet[1])
  arguments = ['--checkpoint', str(converted), '--out', 'x', '--image', 'y', '--lora',
               f'{tmp_path}/lora.safetensors:0.5,{tmp_path}/other.safetensors']
  params = checkpoint.load(converted)[1]
  adapted = sample.load(sample.arguments(arguments))[2]
  expected = lora.merge(lora.merge(params, factors, 0.5), other, 1.)
  for name, x in adapted.items():
    np.testing.assert_array_equal(x, expected[name])
  assert any((adapted[n] != params[n]).any() for n in params)


def test_a_merged_checkpoint_is_one_like_any_other(unet, factors, converted, tmp_path):
  lora_file.save(tmp_path / 'lora.safetensors', factors, 4., unet[1])
  merge.convert(converted, tmp_path / 'merged', lora=f'{tmp_path}/lora.safetensors:-0.5')
  config, params, step = checkpoint.load(tmp_path / 'merged')
  expected = lora.merge(checkpoint.load(converted)[1], factors, -0.5)
  assert step == 0 and config.model == checkpoint.load_config(converted).model
  assert params.keys() == expected.keys()
  for name, x in params.items():
    np.testing.assert_array_equal(x, expected[name])
  with pytest.raises(BadInput, match='exists already'):
    merge.convert(converted, tmp_path / 'merged', lora=f'{tmp_path}/lora.safetensors')


@pytest.mark.parametrize('text, message', [
    ('none.safetensors', '--lora none.safetensors is not a file'),
    ('f.safetensors:much', '--lora f.safetensors:much has no number after the colon'),
    ('f.safetensors:nan', 'has no number'), ('', '--lora  is not a file')])
def test_files_that_are_named_wrongly(text, message):
  with pytest.raises(BadInput, match=message):
    lora_file.parse(text)


def test_peft_computes_the_same(world, unet, factors, converted, tmp_path):
  """Injected into diffusers' UNet by PEFT, the file gives what the merged parameters give."""
  torch, peft = pytest.importorskip('torch'), pytest.importorskip('peft')
  diffusers = pytest.importorskip('diffusers')
  from svdjax.convert import to_diffusers
  from svdjax.models import unet as unet_lib
  from svdjax.tasks.conditioning import embed_scalars
  lora_file.save(tmp_path / 'lora.safetensors', factors, 8., unet[1])
  to_diffusers.convert(converted, tmp_path / 'out')
  theirs = diffusers.UNetSpatioTemporalConditionModel.from_pretrained(tmp_path / 'out' / 'unet')
  tensors = {n.removeprefix('unet.'): torch.from_numpy(x.copy())
             for n, x in st.load_file(tmp_path / 'lora.safetensors').items()}
  with open(tmp_path / 'lora.safetensors', 'rb') as file:
    header = json.loads(file.read(int.from_bytes(file.read(8), 'little')))
  told = json.loads(header['__metadata__']['lora_adapter_metadata'])
  config = peft.LoraConfig(r=told['unet.r'], lora_alpha=told['unet.lora_alpha'],
                           target_modules=told['unet.target_modules'])
  peft.inject_adapter_in_model(config, theirs)
  result = peft.set_peft_model_state_dict(theirs, tensors)
  assert not result.unexpected_keys
  sizes = world.VIDEO['unet']
  x, c_noise, context, scalars = world.unet_inputs(sizes)
  first = lambda a: torch.from_numpy(np.moveaxis(a, -1, -3).copy())
  with torch.no_grad():
    want = theirs(first(x), torch.from_numpy(c_noise), torch.from_numpy(context),
                  torch.from_numpy(scalars)).sample
  params = checkpoint.load(converted)[1]
  merged = lora.merge(params, factors, 2.)
  apply = unet_lib.build(unet_lib.UNetConfig(**sizes)).apply
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  own = {n.removeprefix('unet/'): x for n, x in merged.items() if n.startswith('unet/')}
  got = jax.jit(apply)(own, x, c_noise, context,
                       embed_scalars(tuple(values), sizes['vector_dim'], values))
  np.testing.assert_allclose(np.moveaxis(np.asarray(got), -1, -3), want.numpy(), atol=5e-5)
