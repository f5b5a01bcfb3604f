"""The conversion command: bitwise both ways."""

import functools
import re
import shutil
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as st

from svdjax import checkpoint, saving
from svdjax.convert import __main__ as command
from svdjax.convert import to_sgm
from svdjax.core import weights

DTYPES = {'float32': np.float32, 'bfloat16': ml_dtypes.bfloat16, 'float16': np.float16}


def run(*arguments):
  command.main([str(a) for a in arguments])


def loaded(path):
  return {n: np.asarray(x) for n, x in checkpoint.load(path)[1].items()}


def assert_same(first, second, dtype=np.float32):
  """Same names, and bitwise the same values after the cast."""
  assert first.keys() == second.keys()
  for name, array in first.items():
    assert second[name].dtype == dtype, name
    assert array.astype(dtype).tobytes() == second[name].tobytes(), name


def test_a_folder_becomes_a_checkpoint_with_all_its_tensors(world, converted):
  params = loaded(converted)
  for network, sizes in world.VIDEO.items():
    expected = {f'{network}/{n}': x for n, x in world.params(network, sizes).items()}
    assert_same(expected, {n: x for n, x in params.items() if n.startswith(f'{network}/')})
  config = checkpoint.load_config(converted)
  assert config.model.to_dict() == world.VIDEO
  assert (config.data.frames, config.preset, config.conditioning.context) == (3, 'svd', 'image')


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('way', ['diffusers', 'sgm'])
def test_out_and_in_again_is_bitwise_the_same(converted, tmp_path, way, dtype):
  out = tmp_path / 'out.safetensors'
  run(f'to-{way}', converted, out, '--dtype', dtype)
  run(f'from-{way}', out, tmp_path / 'in')
  assert_same(loaded(converted), loaded(tmp_path / 'in'), DTYPES[dtype])
  before, after = (checkpoint.load_config(p).to_dict() for p in (converted, tmp_path / 'in'))
  assert after.pop('train')['dtype'] == ('float32' if dtype == 'float32' else 'bfloat16')
  assert before.pop('train') and before == after


def test_what_a_released_single_file_holds_beside_is_left_out(single, converted, tmp_path):
  """OpenCLIP's text tower, and the decoder among the conditioners (svd_model 3.4, 4.1)."""
  clip, encoder = 'conditioner.embedders.0.open_clip.model.', 'conditioner.embedders.3.encoder.'
  extra = (clip + 'token_embedding.weight', clip + 'positional_embedding', clip + 'logit_scale',
           clip + 'transformer.resblocks.0.attn.in_proj_weight', clip + 'text_projection',
           encoder + 'decoder.conv_in.weight', encoder + 'post_quant_conv.bias',
           'first_stage_model.quant_conv.weight', 'denoiser.sigmas')
  st.save_file(st.load_file(single) | {n: np.ones((2, 2), np.float32) for n in extra},
               tmp_path / 'f.safetensors', weights.Weights([single]).metadata)
  run('from-sgm', tmp_path / 'f.safetensors', tmp_path / 'out')
  assert_same(loaded(converted), loaded(tmp_path / 'out'))


def test_double_precision_becomes_single(single, converted, tmp_path):
  """Which JAX computes with, and not the bfloat16 of 16-bit weights."""
  doubles = {n: x.astype(np.float64) for n, x in st.load_file(single).items()}
  st.save_file(doubles, tmp_path / 'f.safetensors', weights.Weights([single]).metadata)
  run('from-sgm', tmp_path / 'f.safetensors', tmp_path / 'out')
  assert checkpoint.load_config(tmp_path / 'out').train.dtype == 'float32'
  assert_same(loaded(converted), loaded(tmp_path / 'out'))


def test_from_one_layout_to_the_other_is_the_reference_mapping(world, folder, single):
  """Every tensor of both files; that their names are the reference's, test_table.py shows."""
  file = st.load_file(single)
  for network, stem in (('unet', 'unet/diffusion_pytorch_model'),
                        ('vae', 'vae/diffusion_pytorch_model')):
    theirs = st.load_file(folder / f'{stem}.safetensors')
    pairs = [[e.there.name for e in world.mapping(network, world.VIDEO[network], dialect).entries]
             for dialect in ('diffusers', 'sgm')]
    assert sorted(pairs[0]) == sorted(theirs)
    for name, other in zip(*pairs):  # linear layers of sgm's autoencoder are 1×1 convolutions
      np.testing.assert_array_equal(theirs[name], file.pop(other).reshape(theirs[name].shape))
  clip = st.load_file(folder / 'image_encoder' / 'model.safetensors')
  vision = clip_in_sgm(clip)
  assert vision.keys() == {n for n in file if not n.startswith('first_stage_model.encoder.')}
  for name, array in vision.items():
    np.testing.assert_array_equal(file[name], array)


def clip_in_sgm(clip):
  """transformers' image encoder as OpenCLIP's, written down by hand."""
  fused = {n: np.concatenate([clip[n.replace('q_proj', f'{p}_proj')] for p in 'qkv'])
           for n in clip if 'q_proj' in n}
  rest = {n: x for n, x in clip.items() if not re.search('[qkv]_proj', n)}
  rest['visual_projection.weight'] = rest['visual_projection.weight'].T
  rewrites = (('vision_model.embeddings.class_embedding', 'class_embedding'),
              ('vision_model.embeddings.position_embedding.weight', 'positional_embedding'),
              ('vision_model.embeddings.patch_embedding', 'conv1'),
              ('visual_projection.weight', 'proj'),
              ('vision_model.pre_layrnorm', 'ln_pre'), ('vision_model.post_layernorm', 'ln_post'),
              ('vision_model.encoder.layers', 'transformer.resblocks'), ('layer_norm', 'ln_'),
              ('mlp.fc1', 'mlp.c_fc'), ('mlp.fc2', 'mlp.c_proj'),
              ('self_attn.q_proj.', 'attn.in_proj_'), ('self_attn', 'attn'))
  renamed = lambda n: functools.reduce(lambda name, pair: name.replace(*pair), rewrites, n)
  prefix = 'conditioner.embedders.0.open_clip.model.visual.'
  return {prefix + renamed(n): x for n, x in (fused | rest).items()}


def test_the_first_stage_has_an_encoder_without_quant_conv(single):
  """ComfyUI encodes with it: quant_conv(conv_out(x)) is one convolution."""
  file = st.load_file(single)
  mine, other = 'first_stage_model.', 'conditioner.embedders.3.encoder.'
  assert f'{mine}quant_conv.weight' not in file
  np.testing.assert_array_equal(file[f'{mine}encoder.conv_in.weight'],
                                file[f'{other}encoder.conv_in.weight'])
  taps = file[f'{other}encoder.conv_out.weight'][:, :, 1, 1]
  both = file[f'{other}quant_conv.weight'][:, :, 0, 0] @ taps
  np.testing.assert_allclose(file[f'{mine}encoder.conv_out.weight'][:, :, 1, 1], both, atol=1e-6)


def test_folding_is_applying_one_after_the_other():
  rng = np.random.default_rng(0)
  w, b, q, c = (rng.standard_normal(s) for s in ((8, 5, 3, 3), (8,), (8, 8, 1, 1), (8,)))
  patch = rng.standard_normal((5, 3, 3))
  weight, bias = to_sgm.folded(w, b, q, c)
  one = np.einsum('oihw,ihw->o', w, patch) + b
  np.testing.assert_allclose(np.einsum('pihw,ihw->p', weight, patch) + bias,
                             q[:, :, 0, 0] @ one + c)


def test_a_moving_average_in_the_file_is_taken_unless_raw(world, single, tmp_path):
  file = st.load_file(single)
  unet = {n: x for n, x in file.items() if n.startswith('model.')}
  file |= {'model_ema.' + n.removeprefix('model.').replace('.', ''): x + 1
           for n, x in unet.items()}
  file['model_ema.num_updates'] = np.array(3)
  st.save_file(file, tmp_path / 'f.safetensors', weights.Weights([single]).metadata)
  run('from-sgm', tmp_path / 'f.safetensors', tmp_path / 'ema')
  run('from-sgm', tmp_path / 'f.safetensors', tmp_path / 'raw', '--raw')
  ema, raw = loaded(tmp_path / 'ema'), loaded(tmp_path / 'raw')
  for name, array in raw.items():
    np.testing.assert_array_equal(ema[name], array + 1 if name.startswith('unet/') else array)


@pytest.fixture(scope='module')
def workdir(world, converted, tmp_path_factory):
  """A workdir as training leaves it: raw weights are the average plus one."""
  from svdjax import state
  path = tmp_path_factory.mktemp('trained') / 'w'
  path.mkdir()
  shutil.copy(converted / 'config.json', path)
  params = checkpoint.load(converted)[1]
  unet = {n: x for n, x in params.items() if n.startswith('unet/')}
  checkpoint.save_params(path / 'frozen', {n: x for n, x in params.items() if n not in unet})
  saved = saving.Checkpoints(path, 1)
  raw = {n: x + 1 for n, x in unet.items()}
  saved.save(state.State(np.int32(7), raw, unet, {'count': np.zeros(1)}), {'next_index': 0})
  saved.close()
  return path


@pytest.mark.parametrize('way', ['diffusers', 'sgm'])
def test_a_trained_workdir_gives_its_average_or_raw_weights(workdir, converted, tmp_path, way):
  for flags, added in (((), 0), (('--raw',), 1)):
    out = tmp_path / f'{added}.safetensors'
    run(f'to-{way}', workdir, out, *flags)
    run(f'from-{way}', out, tmp_path / f'back{added}')
    back = loaded(tmp_path / f'back{added}')
    for name, array in loaded(converted).items():
      np.testing.assert_array_equal(back[name], array + added * name.startswith('unet/'))


def test_the_model_card_tells_where_the_weights_come_from(workdir, tmp_path):
  run('to-diffusers', workdir, tmp_path / 'out')
  card = (tmp_path / 'out' / 'README.md').read_text()
  assert 'step 7' in card and 'StableVideoDiffusionPipeline' in card and '"norm_eps"' in card
  assert card.startswith('---\nlibrary_name: diffusers\npipeline_tag: image-to-video\n')


@pytest.mark.parametrize('way', ['from-diffusers', 'from-sgm', 'to-diffusers', 'to-sgm'])
def test_memory_stays_far_below_a_component(world, folder, converted, single, tmp_path, way):
  """Tensors pass through one by one; the largest component here is the UNet of 5 MB."""
  largest = sum(np.prod(s) * 4 for s in world.mapping('unet', world.VIDEO['unet']).theirs.values())
  source = {'from-diffusers': folder, 'from-sgm': single}.get(way, converted)
  out = tmp_path / 'o.safetensors'
  run(way, source, out)  # what is imported and cached once
  shutil.rmtree(out) if out.is_dir() else out.unlink()
  tracemalloc.start()
  run(way, source, out)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 1.3 * largest
