"""LoRA files under the names of diffusers and PEFT."""

import json
import pathlib
import types

import jax
import numpy as np
import pytest
from safetensors import numpy as st

from svdjax import checkpoint, sample
from svdjax.convert import lora as lora_file
from svdjax.convert import merge, store
from svdjax.convert.mapping import depth
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.models import lora

README = pathlib.Path(__file__).parents[2] / 'README.md'


@pytest.fixture(scope='module')
def unet(world):
  """(kernels that may be adapted, depth) of the UNet of world.VIDEO."""
  sizes = world.VIDEO['unet']
  shapes = store.shapes_of('unet', sizes)
  return {n: s for n, s in shapes.items() if n.endswith('kernel')}, depth('unet', sizes)


def drawn(kernels, pattern):
  """Factors of rank 4 for the kernels that match, none of them zero."""
  shapes = {n: jax.ShapeDtypeStruct(s, np.float32) for n, s in kernels.items()}
  made = lora.init(shapes, (pattern,), 4, jax.random.key(0))
  rng = np.random.default_rng(0)
  return {n: rng.standard_normal(x.shape).astype(np.float32) * 0.1 for n, x in made.items()}


@pytest.fixture(scope='module')
def factors(unet):
  return drawn(unet[0], lora.TEMPORAL_ATTENTION)


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


@pytest.fixture(scope='module')
def small(unet):
  """(kernel name, tensors of a file that adapts it with rank 2)."""
  name = next(n for n in unet[0] if n.endswith('attn1/to_q/kernel'))
  module, (i, o) = next(iter(lora_file.modules([name], unet[1]))), unet[0][name]
  return name, {f'unet.{module}.lora_A.weight': np.ones((2, i), np.float32),
                f'unet.{module}.lora_B.weight': np.ones((o, 2), np.float32)}


@pytest.mark.parametrize('told, scale', [
    ({'unet.lora_alpha': 4}, 2.), ({'lora_alpha': 4}, 2.), ({}, 1.),
    ({'lora_alpha': 4, 'use_rslora': True}, 4 / 2 ** 0.5),
    ({'unet.lora_alpha': 4, 'unet.alpha_pattern': {'attn1.to_q': 6}}, 3.),
    ({'lora_alpha': 4, 'alpha_pattern': {'to_k': 6}, 'rank_pattern': {'to_q': 2}}, 2.)])
@pytest.mark.parametrize('place', ['metadata', 'beside'])
def test_the_scale_is_that_of_peft(unet, small, tmp_path, told, scale, place):
  """From diffusers' metadata, with the component's name or without, or PEFT's JSON beside it."""
  metadata = {lora_file.METADATA: json.dumps(told)} if place == 'metadata' else None
  if place == 'beside':
    told = {n.removeprefix('unet.'): x for n, x in told.items()}
    (tmp_path / 'adapter_config.json').write_text(json.dumps(told))
  st.save_file(small[1], tmp_path / 'f.safetensors', metadata)
  assert lora_file.load(tmp_path / 'f.safetensors', *unet)[1] == {small[0]: pytest.approx(scale)}


@pytest.mark.parametrize('told, message', [
    ('{', 'the metadata of .*f.safetensors is not JSON'),
    ('{"use_dora": true}', 'f.safetensors is a DoRA'),
    ('{"alpha_pattern": {"to_q(": 2}}', r"the name 'to_q\(' in alpha_pattern is no regular"),
    ('{"alpha_pattern": ["to_q"]}', r"alpha_pattern is \['to_q'\], no object"),
    ('{"lora_alpha": true}', 'the alpha of .*to_q is True, no number'),
    ('{"lora_alpha": "much"}', "the alpha of .*to_q is 'much', no number")])
def test_configs_that_cannot_be_used(unet, small, tmp_path, told, message):
  st.save_file(small[1], tmp_path / 'f.safetensors', {lora_file.METADATA: told})
  with pytest.raises(BadInput, match=message):
    lora_file.load(tmp_path / 'f.safetensors', *unet)


def test_files_that_adapt_nothing_or_what_is_not_linear(unet, tmp_path):
  conv = 'unet.conv_in.lora_A.weight'
  for tensors, message in (
      ({}, 'holds no LoRA factors'), ({conv: np.ones((2, 8))}, f'{conv} adapts a convolution'),
      ({'unet.x.lora_A.weight': np.ones((2, 8))}, 'x.lora_A.weight adapts nothing in this UNet')):
    st.save_file(tensors, tmp_path / 'f.safetensors')
    with pytest.raises(BadInput, match=message):
      lora_file.load(tmp_path / 'f.safetensors', *unet)


def test_files_that_do_not_fit_are_refused(unet, factors, tmp_path):
  file = tmp_path / 'f.safetensors'
  lora_file.save(file, factors, 4., unet[1])
  tensors = st.load_file(file)
  first = next(n for n in tensors if 'lora_B' in n)
  for change, message in ((lambda t: t.update(x=np.ones(1)), 'x is no factor of a LoRA'),
                          (lambda t: t.pop(first), 'has one factor alone of unet/'),
                          (lambda t: t.update({first: np.ones(4, np.float32)}),
                           'with factors .* has shape'),
                          (lambda t: t.update({first: t[first].astype(np.int8)}),
                           'holds integers or 8-bit floats'),
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


EVERYWHERE = r'unet/.*/(attn1/to_q|ff/net/0/proj|ff_in/net/2|proj_in|time_emb_proj)/kernel'


@pytest.mark.parametrize('pattern, more', [
    (lora.TEMPORAL_ATTENTION, {}),
    (EVERYWHERE, {'use_rslora': True, 'alpha_pattern': {'attn1.to_q': 3, 'proj_in': 5}})])
def test_peft_computes_the_same(world, unet, converted, tmp_path, pattern, more):
  """Injected into diffusers' UNet by README's lines, a file gives what merged parameters give."""
  torch, _ = pytest.importorskip('torch'), pytest.importorskip('peft')
  diffusers = pytest.importorskip('diffusers')
  from svdjax.convert import to_diffusers
  from svdjax.models import unet as unet_lib
  from svdjax.tasks.conditioning import embed_scalars
  file = tmp_path / 'lora.safetensors'
  lora_file.save(file, drawn(unet[0], pattern), 8., unet[1])
  told = json.loads(weights.Weights([file]).metadata[lora_file.METADATA]) | {
      f'unet.{name}': value for name, value in more.items()}
  st.save_file(st.load_file(file), file, {lora_file.METADATA: json.dumps(told)})
  to_diffusers.convert(converted, tmp_path / 'out')
  theirs = diffusers.UNetSpatioTemporalConditionModel.from_pretrained(tmp_path / 'out' / 'unet')
  blocks = README.read_text().split('```python\n')[1:]
  code = next(b for b in blocks if 'inject_adapter' in b).split('```')[0]
  exec(code.replace('runs/horizontal/lora.safetensors', str(file)),
       {'pipeline': types.SimpleNamespace(unet=theirs)})
  sizes = world.VIDEO['unet']
  x, c_noise, context, scalars = world.unet_inputs(sizes)
  first = lambda a: torch.from_numpy(np.moveaxis(a, -1, -3).copy())
  with torch.no_grad():
    want = theirs(first(x), torch.from_numpy(c_noise), torch.from_numpy(context),
                  torch.from_numpy(scalars)).sample
  merged = lora_file.add(checkpoint.load(converted)[1], str(file), sizes)
  apply = unet_lib.build(unet_lib.UNetConfig(**sizes)).apply
  values = dict(zip(('fps', 'motion', 'cond_aug'), scalars.T))
  own = {n.removeprefix('unet/'): x for n, x in merged.items() if n.startswith('unet/')}
  got = jax.jit(apply)(own, x, c_noise, context,
                       embed_scalars(tuple(values), sizes['vector_dim'], values))
  np.testing.assert_allclose(np.moveaxis(np.asarray(got), -1, -3), want.numpy(), atol=5e-5)
