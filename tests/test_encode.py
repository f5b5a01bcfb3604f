"""Latents computed beforehand are those that training would compute."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import encode
from svdjax import checkpoint, handoff, tasks, train
from svdjax.core import faults
from svdjax.core.errors import BadInput
from svdjax.inputs import encoded, pipeline, record, video
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import parts as parts_lib

SIZE = ('--height', '16', '--width', '24')


@pytest.fixture(scope='module')
def sources(workdir_of):
  """The checkpoints of an autoencoder and of CLIP."""
  return f'{workdir_of("autoencoder")},{workdir_of("clip")}'


@pytest.fixture(scope='module')
def split_toy(toy, tmp_path_factory):
  """The toy data in three shards."""
  folder, found = tmp_path_factory.mktemp('split'), pipeline.records(toy, 'train')
  record.write_split(folder, 'train', [record.decode(found[i]) for i in range(len(found))], 3)
  return folder


@pytest.fixture(scope='module')
def latents(split_toy, sources, tmp_path_factory, compiled):
  folder = tmp_path_factory.mktemp('latents') / 'made'
  encode.main(['--input', str(split_toy), '--output', str(folder), '--checkpoint', sources, *SIZE])
  return folder


def config_of(nano, name, source, latents=''):
  config = nano(name, {'data.source': str(source), 'data.latents': str(latents),
                       'data.drop_text': 0.3})
  config.model.vae.scale = 1.
  return config


def params_of(sources, name):
  """All parameters of a stage, its UNet drawn anew."""
  merged = handoff.read(sources)
  parts = parts_lib.build(name)
  fresh = parts.init(lambda n: jax.random.key(0), ['unet'])
  return parts, {n: merged.get(n, fresh.get(n)) for n in parts.shapes}


@pytest.mark.parametrize('stage', ['video_pretrain,low', 'i2v_14f,base'])
def test_a_clip_is_what_the_networks_make_of_the_same_clip_in_pixels(
    nano, split_toy, latents, sources, stage):
  config = config_of(nano, stage, split_toy, latents)
  tokenizer = Tokenizer.load(sources.split(',')[1] + '/assets')
  pixels = pipeline.Clips(config.data, 'train', 5, tokenizer)
  config.seed = 5
  ready = encoded.Clips(config)
  parts, params = params_of(sources, config.model)
  for draw in range(6):
    a, b = pixels.clip(draw, draw), ready.clip(draw, draw)
    assert all(a[n] == b[n] for n in ('index', 'fps', 'motion'))
    images = tasks.denoising.latents.to_float(a['video'])[None]
    moments = jnp.concatenate(tasks.denoising.latents.vae.encode(
        parts.networks['vae'].apply, handoff.part(params, 'vae'), images), axis=-1)[0]
    np.testing.assert_allclose(b['moments'], moments, atol=0.02, rtol=2e-3)  # float16 on disk
    if config.conditioning.context == 'text':
      context = tasks.conditioning.text_tokens(parts, params, a['tokens'][None], jnp.float32)[0]
    else:
      context = tasks.conditioning.image_tokens(parts, params, images[:, 0])[0]
    assert b['context'].shape == context.shape
    np.testing.assert_allclose(b['context'], context, atol=0.01, rtol=2e-3)


def test_the_loss_is_that_of_pixels_without_running_autoencoder_or_text_tower(
    nano, split_toy, latents, sources):
  config = config_of(nano, 'video_pretrain,low', split_toy, latents)
  tokenizer = Tokenizer.load(sources.split(',')[1] + '/assets')
  parts, params = params_of(sources, config.model)
  numbers, key = {'p_mean': jnp.float32(0.), 'p_std': jnp.float32(1.)}, jax.random.key(3)
  unet, losses = {n: x for n, x in params.items() if n.startswith('unet/')}, []
  for clips, used in ((pipeline.Clips(config.data, 'train', 0, tokenizer), params),
                      (encoded.Clips(config), unet)):
    batch = {n: jnp.asarray(x) for n, x in pipeline.eval_batch(clips, 2).items()} | numbers
    losses.append(float(tasks.LOSSES[config.task](config, parts, used, batch, key)[0]))
  assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_noise_on_conditioning_images_is_that_of_its_level(latents, nano, split_toy):
  clips = encoded.Clips(config_of(nano, 'i2v_14f,base', split_toy, latents))
  entries = (record.decode(clips.source[i], encoded.features()) for i in range(8))
  levels = np.concatenate([entry['cond_aug'] for entry in entries])
  assert len(set(levels)) == 8 * 12  # each frame has its own
  assert np.log(levels).mean() == pytest.approx(-3., abs=0.2)
  assert np.log(levels).std() == pytest.approx(0.5, abs=0.15)


def test_a_killed_run_goes_on_to_the_same_bytes(latents, split_toy, sources, tmp_path, monkeypatch):
  real, left = video.decode, [4]

  def dies(*args):
    left[0] -= 1
    if left[0] < 0:
      raise KeyboardInterrupt
    return real(*args)

  arguments = ['--input', str(split_toy), '--output', str(tmp_path / 'out'), '--checkpoint',
               sources, *SIZE]
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(video, 'decode', dies)
    encode.main(arguments)
  names = sorted(p.name for p in latents.iterdir())
  assert len(list((tmp_path / 'out').glob('*-of-00003'))) == 1
  with pytest.raises(BadInput, match='is not finished'):
    encoded.read_meta(tmp_path / 'out')
  encode.main(arguments)
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == names
  for name in names:
    assert (tmp_path / 'out' / name).read_bytes() == (latents / name).read_bytes(), name


def test_a_finished_folder_is_left_alone_and_another_kind_refused(
    latents, split_toy, sources, capsys):
  common = ['--input', str(split_toy), '--output', str(latents), '--checkpoint', sources]
  encode.main([*common, *SIZE])
  assert 'nothing to do' in capsys.readouterr().err
  with pytest.raises(BadInput, match='height, options, shapes differ.*: name a new folder'):
    encode.main([*common, '--height', '24', '--width', '24'])


def test_damaged_records_are_left_out_and_named(split_toy, sources, tmp_path):
  """And without noise, a conditioning latent is the frame's own."""
  found = pipeline.records(split_toy, 'train')
  clips = [record.decode(found[i]) for i in range(3)]
  clips[1]['video'] = b'no video'
  record.write_split(tmp_path / 'data', 'train', clips)
  encode.main(['--input', str(tmp_path / 'data'), '--output', str(tmp_path / 'out'),
               '--checkpoint', sources, *SIZE, '--only', 'image', '--max-fps', '4',
               '--log-cond-aug', '-20', '0'])
  assert len(pipeline.records(tmp_path / 'out', 'train')) == 2
  assert [row['record'] for row in faults.read(tmp_path / 'out')] == [1]
  meta = encoded.read_meta(tmp_path / 'out')
  entry = record.decode(pipeline.records(tmp_path / 'out', 'train')[0], encoded.features())
  assert 'text' not in meta['shapes'] and entry['num_frames'] == 6  # 12 at 8 a second
  mean = entry['moments'].reshape(-1, *meta['shapes']['moments'])[..., :8]
  np.testing.assert_allclose(entry['condition'], mean.ravel(), atol=0.01)


@pytest.mark.parametrize('changes, message', [
    ({'data.height': 24}, 'were made at height 16, not 24'),
    ({'data.crop': 'random'}, 'needs config.data.crop=center')])
def test_latents_that_do_not_fit_a_stage_are_refused(nano, split_toy, latents, changes, message):
  config = config_of(nano, 'video_pretrain,low', split_toy, latents)
  config.update_from_flattened_dict(changes)
  with pytest.raises(BadInput, match=message):
    encoded.Clips(config)


def test_latents_of_other_networks_are_refused(nano, split_toy, latents, sources):
  clips = encoded.Clips(config_of(nano, 'video_pretrain,low', split_toy, latents))
  digests = handoff.encoder_digests(handoff.read(sources))
  clips.check_networks(digests)
  with pytest.raises(BadInput, match='made with another vae than this stage has'):
    clips.check_networks(digests | {'vae': 'other'})


def test_a_stage_trains_on_latents_alone(nano, split_toy, latents, sources, tmp_path):
  config = config_of(nano, 'image_discrete', split_toy, latents)
  config.model.vae.scale, config.init_from = 0., sources
  row = train.train(config, tmp_path / 'run')
  assert np.isfinite(row['loss']) and 0. < checkpoint.load_config(tmp_path / 'run').model.vae.scale
  copy = tmp_path / 'copy'
  shutil.copytree(latents, copy)
  meta = json.loads((copy / encoded.META).read_text())
  meta['networks']['vae'] = 'other'
  (copy / encoded.META).write_text(json.dumps(meta))
  config.data.latents = str(copy)
  with pytest.raises(BadInput, match='another vae'):
    train.train(config, tmp_path / 'other')
