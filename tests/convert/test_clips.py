"""CLIPModel folders to checkpoints, and what is measured with them."""

import json
import types

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from svdjax import annotate, checkpoint, features
from svdjax.convert import __main__ as command
from svdjax.convert import clips, from_diffusers, to_diffusers, to_sgm, told
from svdjax.core.errors import BadInput
from svdjax.metrics import missing, suite

pytestmark = pytest.mark.usefixtures('compiled')
CAPTIONS = ['a red circle', 'moving left']


def run(*arguments):
  command.main([str(a) for a in arguments])


def edit(path, **fields):
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_text(folder, **fields):
  config = json.loads((folder / 'config.json').read_text())
  edit(folder / 'config.json', text_config=config['text_config'] | fields)


def spoil(folder, change, name='model'):
  tensors = load_file(folder / f'{name}.safetensors')
  change(tensors)
  save_file(tensors, folder / f'{name}.safetensors')


@pytest.fixture(scope='module')
def clip_of(world, tmp_path_factory):
  """clip_of(act, ...) -> the checkpoint of a CLIPModel folder, arguments as of world.write_clip."""
  def make(*arguments, **options):
    path = tmp_path_factory.mktemp('clip')
    run('from-diffusers', world.write_clip(path / 'in', *arguments, **options), path / 'out')
    return path / 'out'
  return make


@pytest.mark.parametrize('act', ['gelu', 'quick_gelu'])
def test_both_towers_and_the_tokenizer_land(world, clip_of, act):
  config, params, step = checkpoint.load(clip_of(act))
  model, _ = world.clip_sizes(act)
  assert (config.task, config.model.to_dict(), step) == ('contrastive', model, 0)
  for network, sizes in model.items():
    for name, x in world.params(network, sizes).items():
      np.testing.assert_array_equal(params.pop(f'{network}/{name}'), x)
  assert not params


@pytest.fixture(scope='module')
def clips_of_noise():
  return np.random.default_rng(0).integers(0, 256, (2, 3, 20, 30, 3), np.uint8)


def test_a_converted_clip_measures(clip_of, clips_of_noise, capsys):
  found = {act: features.Clip(clip_of(act)) for act in ('gelu', 'quick_gelu')}
  clip = found['gelu']
  images, texts = clip.images(clips_of_noise[0]), clip.texts(CAPTIONS)
  assert images.shape == (3, 32) and texts.shape == (2, 32)
  for x in (images, texts):
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, atol=1e-5)
  assert np.abs(found['quick_gelu'].images(clips_of_noise[0]) - images).max() > 1e-3
  assert np.abs(found['quick_gelu'].texts(CAPTIONS) - texts).max() > 1e-3
  measured = suite.of_clips(clips_of_noise, 8., suite.Extractors(clip=clip), CAPTIONS)
  frames = np.stack([clip.images(x) for x in clips_of_noise])
  np.testing.assert_allclose(measured['clipsim'], np.einsum('ntd,nd->n', frames, texts) / 3,
                             atol=1e-5)
  assert 'not measured' not in capsys.readouterr().err


def test_captions_are_left_out_where_no_tower_reads_them(converted, clips_of_noise, capsys):
  """An image-to-video checkpoint has an image tower alone: what needs no text is measured."""
  clip = features.Clip(converted)
  extractors = suite.Extractors(clip=clip)
  alone = suite.of_clips(clips_of_noise, 8., extractors, CAPTIONS)
  pairs = suite.of_pairs(clips_of_noise, clips_of_noise, extractors)
  np.testing.assert_allclose(pairs['clip_s'], 1, atol=1e-5)
  assert np.isfinite(alone['consistency']).all() and 'clipsim' not in alone
  why = missing.reasons(['CLIPSIM'], extractors, (), {}, '')
  assert str(converted) in why['CLIPSIM'] and not capsys.readouterr().err


def test_a_converted_clip_annotates(clip_of, converted, clips_of_noise):
  folder = clip_of('quick_gelu')
  view = types.SimpleNamespace(pictures=lambda: clips_of_noise[0], captions=(CAPTIONS[0], '', 'x'))
  [answer] = annotate.Clip(str(folder)).setup()([view])
  clip = features.Clip(folder)
  np.testing.assert_array_equal(answer['clip_emb'], clip.images(clips_of_noise[0]))
  np.testing.assert_allclose(answer['caption_sim'][0],
                             clip.texts(CAPTIONS[:1])[0] @ answer['clip_emb'].T, atol=1e-6)
  assert np.isnan(answer['caption_sim']).all(axis=1).tolist() == [False, True, False]
  with pytest.raises(BadInput, match='has not both towers of CLIP'):
    annotate.Clip(str(converted))


def test_answers_of_other_weights_have_another_version(clip_of):
  folder, other = clip_of('gelu'), clip_of('gelu')
  assert annotate.Clip(folder).version() == annotate.Clip(other).version()
  spoil(other / 'params', lambda t: t.update({n: x + 1 for n, x in t.items()}), 'clip_text')
  assert annotate.Clip(folder).version() != annotate.Clip(other).version()
  (other / 'params' / 'clip_text.safetensors').unlink()
  with pytest.raises(BadInput, match='lacks its clip_text'):
    annotate.Clip(other)


def test_older_configs_convert_to_the_same(world, clip_of):
  """Fields told twice, and the end token as OpenAI's files have it."""
  old, new = checkpoint.load(clip_of('quick_gelu', 2, dicts=True)), checkpoint.load(
      clip_of('quick_gelu'))
  assert old[0].to_dict() == new[0].to_dict()
  for name, x in new[1].items():
    np.testing.assert_array_equal(old[1][name], x)


BROKEN = {
    'activation': (lambda f: edit_text(f, hidden_act='relu'), "hidden_act 'relu'"),
    'epsilon': (lambda f: edit_text(f, layer_norm_eps=1e-6), 'layer_norm_eps 1e-06'),
    'end': (lambda f: edit_text(f, eos_token_id=7), 'eos_token_id 7'),
    'layers': (lambda f: edit_text(f, num_hidden_layers=3), 'has num_hidden_layers 3'),
    'projection': (lambda f: edit(f / 'config.json', projection_dim=48), 'has projection_dim 48'),
    'no projection': (lambda f: spoil(f, lambda t: t.pop('text_projection.weight')),
                      'text_projection.weight makes vectors of None'),
    'missing': (lambda f: spoil(f, lambda t: t.pop('vision_model.pre_layrnorm.bias')),
                'vision_model.pre_layrnorm.bias is missing'),
    'extra': (lambda f: spoil(f, lambda t: t.update({'x.weight': np.ones(2, np.float32)})),
              'x.weight has no place'),
    'pickle': (lambda f: (f / 'model.safetensors').rename(f / 'pytorch_model.bin'), 'is a pickle'),
    'normalisation': (lambda f: edit(f / 'preprocessor_config.json', image_std=[0.5] * 3),
                      r'image_std \[0.5, 0.5, 0.5\]'),
    'no normalisation': (lambda f: (f / 'preprocessor_config.json').unlink(),
                         'preprocessor_config.json is missing'),
    'no tokenizer': (lambda f: (f / 'vocab.json').unlink(), 'holds neither vocab.json'),
    'context': (lambda f: edit(f / 'tokenizer_config.json', model_max_length=12),
                'the tokenizer has 12 ids a caption and the text tower 9'),
    'class': (lambda f: edit(f / 'config.json', architectures=['SiglipModel']),
              'has no model_index.json: give the folder of a .* or a CLIPModel'),
}


@pytest.mark.parametrize('fault', BROKEN)
def test_broken_folders_are_refused_in_one_sentence(world, tmp_path, fault):
  change, message = BROKEN[fault]
  change(world.write_clip(tmp_path / 'in'))
  with pytest.raises(BadInput, match=message) as refusal:
    run('from-diffusers', tmp_path / 'in', tmp_path / 'out')
  assert '\n' not in str(refusal.value) and not (tmp_path / 'out').exists()


def test_a_preset_is_refused(world, tmp_path):
  with pytest.raises(BadInput, match='--preset svd is of a model of videos'):
    run('from-diffusers', world.write_clip(tmp_path / 'in'), tmp_path / 'out', '--preset', 'svd')


def test_an_image_encoder_of_quick_gelu_goes_to_diffusers_alone(world, tmp_path):
  model = world.VIDEO | {'clip_image': world.CLIPS['image'] | dict(act='quick_gelu')}
  from_diffusers.convert(world.write_folder(tmp_path / 'in', model), tmp_path / 'jax')
  assert checkpoint.load_config(tmp_path / 'jax').model.to_dict() == model
  to_diffusers.convert(tmp_path / 'jax', tmp_path / 'out')
  config = json.loads((tmp_path / 'out' / 'image_encoder' / 'config.json').read_text())
  assert config['hidden_act'] == 'quick_gelu'
  with pytest.raises(BadInput, match='activation quick_gelu, and the single-file layout has gelu'):
    to_sgm.convert(tmp_path / 'jax', tmp_path / 'x.safetensors')


def test_a_text_to_image_model_of_openai_s_clip_is_refused(world, tmp_path):
  folder = world.write_folder(tmp_path / 'in', world.IMAGE | {
      'clip_text': world.CLIPS['text'] | dict(act='quick_gelu')}, {
          'prediction_type': 'epsilon', 'beta_schedule': 'scaled_linear'})
  with pytest.raises(BadInput, match='captions are padded with the end token'):
    from_diffusers.convert(folder, tmp_path / 'out')


@pytest.mark.parametrize('vision, text, width', [
    (dict(hidden_size=768, patch_size=32), dict(hidden_size=512), 512),
    (dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
          patch_size=14),
     dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12), 768)],
                         ids=['ViT-B/32', 'ViT-L/14'])
def test_openai_s_structures_are_told(world, vision, text, width):
  """Sizes from the fields and shapes of the released files, whose tensors are not needed."""
  see, read = vision.get, text.get
  full = {
      'clip_image': dict(
          width=see('hidden_size'), layers=see('num_hidden_layers', 12),
          heads=see('num_attention_heads', 12), mlp=see('intermediate_size', 3072),
          patch=see('patch_size'), size=224, projection=width, act='quick_gelu'),
      'clip_text': dict(
          width=read('hidden_size'), layers=12, heads=read('num_attention_heads', 8),
          mlp=read('intermediate_size', 2048), context=77, vocab=49408, projection=width,
          act='quick_gelu')}
  config = dict(projection_dim=width, vision_config=vision, text_config=text)
  for network, sizes_of in (('clip_image', clips.image_sizes), ('clip_text', clips.text_sizes)):
    specs = world.mapping(network, full[network]).their_specs(np.dtype(np.float32))
    fields = clips.tower_config(config, network)
    assert sizes_of(specs, fields, 'here') == full[network]
    told.check(network, fields, full[network], 'here')
