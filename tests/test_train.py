"""Whole runs of nano stages: each hands over to the next, and none minds being killed."""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
from PIL import Image
import pytest

from svdjax import checkpoint, saving, state as state_lib, train
from svdjax.core import faults
from svdjax.core.errors import Stopped
from svdjax.core.params import matches, select
from svdjax.inputs import pipeline, record
from svdjax.tasks import parts as parts_lib

REPOSITORY = pathlib.Path(__file__).parents[1]
NANO = pathlib.Path(__file__).with_name('nano.py')
# Stage: the stages it starts from, in the order of the paper.
CHAIN = {
    'autoencoder': (), 'clip': (), 'image_discrete': ('autoencoder', 'clip'),
    'image_pretrain,adapt': ('image_discrete',), 'video_pretrain,low': ('image_pretrain,adapt',),
    'i2v_14f,base': ('video_pretrain,low', 'clip')}


@pytest.fixture(scope='module')
def chain(nano, tmp_path_factory, compiled):
  """{stage: workdir} after three steps each; two stages also draw samples."""
  root, made = tmp_path_factory.mktemp('chain'), {}
  for stage, sources in CHAIN.items():
    config = nano(stage, {'init_from': ','.join(str(made[s]) for s in sources)})
    config.sample.clips = 2 if stage in ('autoencoder', 'i2v_14f,base') else 0
    made[stage] = root / stage.replace(',', '_')
    train.train(config, made[stage])
  return made


@pytest.fixture(scope='module')
def i2v(nano, chain):
  """i2v(steps, every) -> the config of the last stage, without samples."""

  def config(steps, every):
    c = checkpoint.load_config(chain['i2v_14f,base'])
    c.train.steps, c.checkpoint.every, c.sample.clips = steps, every, 0
    return c

  return config


@pytest.fixture(scope='module')
def again(i2v, tmp_path_factory):
  """The workdir of a second run of the last stage."""
  workdir = tmp_path_factory.mktemp('again')
  train.train(i2v(3, 2), workdir)
  return workdir


def state_of(workdir):
  """The whole latest state of a workdir, as numpy."""
  config = checkpoint.load_config(workdir)
  trained, _ = select(parts_lib.build(config.model).shapes, tuple(config.train.trainable))
  like = jax.eval_shape(lambda p: state_lib.create(config, p), trained)
  state, data = saving.Checkpoints(workdir, config.checkpoint.keep).restore(like)
  return jax.tree.map(np.asarray, state), data


def assert_bitwise(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def metrics_of(workdir):
  """{step: metrics}; of a step that was repeated, all that were written must agree."""
  rows = {}
  for line in (workdir / 'metrics.jsonl').read_text().splitlines():
    row = json.loads(line)
    measured = ('seconds', 'wall_time', 'data_wait', 'memory_gib')
    row = {n: x for n, x in row.items() if n not in measured}
    assert rows.setdefault(row['step'], row) == row
  return rows


@pytest.mark.parametrize('stage', CHAIN)
def test_a_stage_leaves_a_checkpoint_metrics_and_its_surroundings(chain, stage):
  workdir = chain[stage]
  config, params, step = checkpoint.load(workdir)
  assert step == 3 and params.keys() == parts_lib.build(config.model).shapes.keys()
  rows = metrics_of(workdir)
  assert list(rows) == [1, 2, 3] and all(np.isfinite(row['loss']) for row in rows.values())
  assert json.loads((workdir / 'environment.json').read_text())['packages']['jax']
  assert list(workdir.glob('events.out.tfevents.*'))
  assert (workdir / 'assets' / 'vocab.json').exists() == ('clip' in stage or 'clip_text' in
                                                          config.model)


@pytest.mark.parametrize('stage', ['image_discrete', 'image_pretrain,adapt', 'i2v_14f,base'])
def test_what_is_frozen_stays_bitwise(chain, stage):
  """And comes from the stages before; what is trained has moved."""
  config, after, _ = checkpoint.load(chain[stage], ema=False)
  before = {}
  for source in CHAIN[stage]:
    before = checkpoint.load(chain[source])[1] | before
  moved = {n for n, x in after.items() if n in before and x.shape == before[n].shape
           and (np.asarray(x) != before[n]).any()}
  frozen = {n for n in after if not matches(n, config.train.trainable)}
  assert frozen and not moved & frozen
  if stage != 'image_discrete':  # whose UNet was fresh
    assert moved


def test_the_adapting_stage_trains_the_noise_embedding_alone(chain):
  before, after = (checkpoint.load(chain[s])[1] for s in ('image_discrete', 'image_pretrain,adapt'))
  moved = {n for n in after if (np.asarray(after[n]) != before[n]).any()}
  assert moved and all('time_emb' in n for n in moved)


@pytest.mark.parametrize('stage, rows, frames', [('autoencoder', 4, 1), ('i2v_14f,base', 4, 3)])
def test_samples_stand_below_their_truth(chain, stage, rows, frames):
  strip = Image.open(chain[stage] / 'samples' / '00000003.png')
  config = checkpoint.load_config(chain[stage])
  scale = -(-96 // config.data.width)
  assert strip.width == frames * config.data.width * scale
  assert strip.height == rows * (config.data.height * scale + 16)


def test_samples_of_clips_are_measured_beside_their_truth(chain):
  assert not list((chain['autoencoder'] / 'samples').glob('*.json'))  # of single frames
  report = json.loads((chain['i2v_14f,base'] / 'samples' / '00000003.json').read_text())
  figures = {f['name']: f for f in report['figures']}
  assert report['step'] == 3 and {'PSNR', 'first-frame PSNR'} <= set(figures)
  truth = figures['change between frames']['baselines']['real']
  assert truth > 0 and truth != figures['change between frames']['mean']
  events, = (chain['i2v_14f,base']).glob('events.out.tfevents.*')
  assert b'samples/motion magnitude' in events.read_bytes()


def test_a_stage_without_samples_leaves_none(chain):
  assert not (chain['image_discrete'] / 'samples').exists()


def test_latents_keep_the_scale_that_the_first_unet_was_trained_with(chain):
  scales = {s: checkpoint.load_config(chain[s]).model.vae.scale for s in CHAIN if s != 'clip'}
  assert scales.pop('autoencoder') == 0
  assert len(set(scales.values())) == 1 and set(scales.values()) != {0.}


def test_the_same_run_twice_is_bitwise_the_same(chain, again):
  """Samples that were drawn on the way change nothing."""
  assert_bitwise(state_of(again), state_of(chain['i2v_14f,base']))
  assert metrics_of(again) == metrics_of(chain['i2v_14f,base'])


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(i2v, again, tmp_path, capsys):
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  train.train(i2v(6, 0), whole)
  shutil.copytree(again, parts)
  train.train(i2v(6, 2), parts)
  assert 'at step 3' in capsys.readouterr().err  # off the grid of saves
  assert_bitwise(state_of(parts), state_of(whole))
  assert metrics_of(parts) == metrics_of(whole)


def test_a_finished_run_does_nothing(chain, nano, capsys):
  workdir = chain['i2v_14f,base']
  before = (workdir / 'metrics.jsonl').read_bytes()
  assert train.train(checkpoint.load_config(workdir), workdir) == {}
  assert 'has finished its 3 steps' in capsys.readouterr().err
  assert (workdir / 'metrics.jsonl').read_bytes() == before


def test_a_killed_run_is_bitwise_the_uninterrupted_one(nano, compiled, toy, tmp_path):
  """Killed twice at random, at any point between its first save and its end."""
  whole, killed, steps = tmp_path / 'whole', tmp_path / 'killed', 16
  config = nano('autoencoder', {'train.steps': steps, 'checkpoint.every': 1})
  command = [sys.executable, '-m', 'svdjax.main', '--config', f'{NANO}:autoencoder', '--workdir',
             str(killed), f'--config.data.source={toy}', f'--config.train.steps={steps}',
             '--config.checkpoint.every=1']
  rng, lost = random.Random(), 0
  for _ in range(2):
    begun = set(checkpoint.saved_steps(killed))
    run = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    while set(checkpoint.saved_steps(killed)) <= begun and run.poll() is None:
      time.sleep(0.02)
    time.sleep(rng.uniform(0., 0.7))
    run.send_signal(signal.SIGKILL)
    lost += run.wait() == -signal.SIGKILL
  assert lost  # a fast machine may finish before the second kill
  train.train(config, killed)
  config.checkpoint.every = 0
  train.train(config, whole)
  assert_bitwise(state_of(killed), state_of(whole))
  assert metrics_of(killed) == metrics_of(whole)
  assert not list((killed / 'checkpoints').glob('*tmp*'))


def test_damaged_records_are_named_at_the_end(nano, compiled, tmp_path, capsys):
  config = nano('clip', {'data.source': str(tmp_path / 'data')})
  source = pipeline.records(nano('clip').data.source, 'train')
  clips = [record.decode(source[i]) for i in range(4)]
  clips[2]['video'] = b'no video'
  record.write_split(tmp_path / 'data', 'train', clips)
  train.train(config, tmp_path / 'run')
  assert '1 records gave no clip and were passed over: record 2' in capsys.readouterr().err
  row, = faults.read(tmp_path / 'run')
  assert (row['kind'], row['record']) == ('record', 2) and 'not a video' in row['text']


def test_steps_that_are_not_finite_stop_the_run_and_the_last_good_state_stays(
    nano, compiled, tmp_path):
  config = nano('clip', {'optim.lr': 1e30, 'optim.warmup': 0, 'checkpoint.every': 1,
                         'train.steps': 12})
  with pytest.raises(Stopped, match='5 steps in a row.*: lower config.optim.lr'):
    train.train(config, tmp_path)
  state, data = state_of(tmp_path)
  assert saving.all_finite(state) and data['skipped_steps'] < 5
  assert sum(fault['kind'] == 'step' for fault in faults.read(tmp_path)) == 5
