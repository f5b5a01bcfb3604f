"""A run ends early, or goes on, as it should: signals, bad numbers, bad records, broken logs."""

import json
import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import checkpoint, goodput, saving, state as state_lib, tasks, train
from svdjax.core import faults, ledger
from svdjax.core.errors import BadInput
from svdjax.core.params import select
from svdjax.inputs import pipeline, record
from svdjax.tasks import parts as parts_lib


@pytest.fixture
def config(nano, compiled):
  return nano('clip', {'train.steps': 6, 'checkpoint.every': 4})


@pytest.fixture(scope='module')
def whole(nano, compiled, tmp_path_factory):
  """The workdir of a run that nothing happened to."""
  workdir = tmp_path_factory.mktemp('whole')
  train.train(nano('clip', {'train.steps': 6, 'checkpoint.every': 4}), workdir)
  return workdir


def state_of(workdir):
  """The whole latest state of a workdir."""
  config = checkpoint.load_config(workdir)
  trained, _ = select(parts_lib.build(config.model).shapes, tuple(config.train.trainable))
  like = jax.eval_shape(lambda p: state_lib.create(config, p), trained)
  return saving.Checkpoints(workdir, 2).restore(like)


def assert_same(a, b):
  """Two workdirs hold the same state, bitwise."""
  jax.tree.map(np.testing.assert_array_equal, state_of(a), state_of(b))


def before_batch(monkeypatch, number, act):
  """Calls act(batch) when a run asks for its batch of this number, the first being 0."""
  whole = pipeline.batches

  def batches(clips, batch_size, step, *options):
    for i, batch in enumerate(whole(clips, batch_size, step, *options), step):
      yield (act(batch) or batch) if i == number else batch

  monkeypatch.setattr(pipeline, 'batches', batches)


def test_sigterm_saves_after_the_step_and_the_next_run_goes_on(
    config, whole, tmp_path, monkeypatch, capsys):
  with monkeypatch.context() as patch:
    before_batch(patch, 2, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    train.train(config, tmp_path)
  assert checkpoint.saved_steps(tmp_path) == [3]
  assert 'SIGTERM' in capsys.readouterr().err
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # as it was before
  train.train(config, tmp_path)
  assert_same(tmp_path, whole)


def test_a_step_that_is_not_finite_is_skipped_and_counted_on_after_a_restart(
    config, tmp_path, monkeypatch, capsys):
  real = tasks.LOSSES['contrastive']

  def loss(config, parts, params, batch, key):
    total, metrics = real(config, parts, params, batch, key)
    return total * jnp.where((batch['index'] < 0).any(), jnp.nan, 1.), metrics

  spoil = lambda batch: batch | {'index': -1 - batch['index']}
  monkeypatch.setitem(tasks.LOSSES, 'contrastive', loss)
  config.train.steps, config.optim.decay = 3, False  # so that the number of steps may change
  with monkeypatch.context() as patch:
    before_batch(patch, 2, spoil)
    train.train(config, tmp_path)
  first, data = state_of(tmp_path)
  assert data['skipped_steps'] == 1 and int(first.opt[1].count) == 2
  assert 'not finite at step 2, which is skipped (1 so far)' in capsys.readouterr().err
  config.train.steps = 6
  train.train(config, tmp_path)
  state, data = state_of(tmp_path)
  assert data['skipped_steps'] == 1 and int(state.opt[1].count) == 5
  row = json.loads((tmp_path / 'metrics.jsonl').read_text().splitlines()[-1])
  assert row['skipped_steps'] == 1


def damaged_copy(source, folder, *numbers):
  """A data folder whose records of these numbers cannot be read."""
  found = pipeline.records(source, 'train')
  clips = [record.decode(found[i]) for i in range(len(found))]
  for number in numbers:
    clips[number]['video'] = b'no video'
  record.write_split(folder, 'train', clips)
  return str(folder)


def test_too_many_damaged_records_end_the_run_after_a_save(config, tmp_path):
  config.data.source = damaged_copy(config.data.source, tmp_path / 'data', 3, 5)
  with pytest.raises(BadInput, match='2 of 8 records of .* are damaged, more than 0.10%: record 3'):
    train.train(config, tmp_path / 'run')
  config.data.max_damaged = 0.25
  train.train(config, tmp_path / 'run')
  assert max(checkpoint.saved_steps(tmp_path / 'run')) == 6


def test_logs_that_cannot_be_written_change_nothing(config, whole, tmp_path, monkeypatch):
  for name in ('metrics.jsonl', 'faults.jsonl', ledger.NAME):
    (tmp_path / name).mkdir()
  with open('/dev/full', 'w') as full:
    monkeypatch.setattr(sys, 'stderr', full)
    train.train(config, tmp_path)
    monkeypatch.undo()
    full.close = lambda: None
  assert_same(tmp_path, whole)


def test_the_ledger_of_a_run_sums_to_its_time(whole, capsys):
  goodput.main(['--workdir', str(whole), '--json'])
  found = json.loads(capsys.readouterr().out)
  assert sum(found['seconds'].values()) == pytest.approx(found['total'], rel=0.01)
  assert all(found['seconds'][kind] > 0. for kind in ('init', 'compile', 'data', 'step', 'save'))
  assert (found['steps'], found['lost_steps'], found['runs']) == (6, 0, 1)
  goodput.main(['--workdir', str(whole)])
  assert 'data wait' in capsys.readouterr().out


def test_a_workdir_without_a_ledger_is_refused(tmp_path):
  with pytest.raises(BadInput, match='has no goodput.jsonl: give the --workdir of a run'):
    goodput.main(['--workdir', str(tmp_path)])


def test_nothing_is_reported_of_a_run_that_nothing_happened_to(whole):
  assert not faults.read(whole)
  rows = [json.loads(line) for line in (whole / 'metrics.jsonl').read_text().splitlines()]
  assert all(row['skipped_steps'] == 0 and 0. <= row['data_wait'] <= 1. for row in rows)
