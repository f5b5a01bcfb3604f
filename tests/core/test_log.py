"""The log: what is written can be read back, and what cannot be written stops nothing."""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time

from hypothesis import given, settings, strategies as st
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from svdjax.core import events
from svdjax.core.log import Log


def rows(workdir):
  return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def accumulated(workdir):
  return EventAccumulator(str(workdir)).Reload()


def moving_square(frames=6):
  video = np.full((frames, 24, 32, 3), (30, 90, 160), np.uint8)
  for t in range(frames):
    video[t, 8:16, 4 * t:4 * t + 8] = (250, 200, 20)
  return video


def test_metrics_have_one_object_per_step(tmp_path):
  before = time.time()
  with Log(tmp_path) as log:
    for step in 10, 20, 30:
      log.write_scalars(step, {'loss': 1 / step, 'lr': np.float32(0.5), 'grad': jnp.ones(())})
  assert [row.pop('step') for row in rows(tmp_path)] == [10, 20, 30]
  first = rows(tmp_path)[0]
  assert before - 1 <= first.pop('wall_time') <= time.time() + 1
  assert first == {'step': 10, 'loss': 0.1, 'lr': 0.5, 'grad': 1.0}


def test_tensorboard_reads_the_scalars(tmp_path):
  with Log(tmp_path) as log:
    for step in 1, 2:
      log.write_scalars(step, {'train/loss': step / 4})
  got = accumulated(tmp_path).Scalars('train/loss')
  assert [(s.step, s.value) for s in got] == [(1, 0.25), (2, 0.5)]


def test_an_event_file_begins_with_its_version(tmp_path):
  with Log(tmp_path) as log:
    log.write_scalars(1, {'loss': 1.})
    log.write_scalars(2, {'loss': 2.})
  (path,) = tmp_path.glob('*.tfevents.*')
  versions = [event.file_version for event in LegacyEventFileLoader(str(path)).Load()]
  assert versions == ['brain.Event:2', '', '']


def test_numbers_that_are_not_finite_are_written_as_such(tmp_path):
  with Log(tmp_path) as log:
    log.write_scalars(1, {'loss': float('nan'), 'grad': float('inf'), 'lr': 0.5})
  (row,) = rows(tmp_path)
  assert row['loss'] is None and row['grad'] is None and row['lr'] == 0.5
  assert row['nonfinite'] == ['loss', 'grad']
  assert np.isnan(accumulated(tmp_path).Scalars('loss')[0].value)


def test_tensorboard_reads_images_without_loss(tmp_path):
  image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
  with Log(tmp_path) as log:
    log.write_images(3, {'sample': image})
  (got,) = accumulated(tmp_path).Images('sample')
  assert (got.step, got.height, got.width) == (3, 5, 7)
  np.testing.assert_array_equal(Image.open(io.BytesIO(got.encoded_image_string)), image)


def test_videos_are_animated_images(tmp_path):
  video = moving_square()
  with Log(tmp_path) as log:
    log.write_videos(3, {'sample': (video, 8)})
  (got,) = accumulated(tmp_path).Images('sample')
  gif = Image.open(io.BytesIO(got.encoded_image_string))
  assert (gif.format, gif.n_frames, gif.info['loop']) == ('GIF', 6, 0)
  for t in range(6):
    gif.seek(t)
    np.testing.assert_allclose(np.asarray(gif.convert('RGB')).astype(int), video[t], atol=8)


@settings(max_examples=15, deadline=None)
@given(fps=st.integers(1, 50), frames=st.integers(2, 12))
def test_an_animation_lasts_as_long_as_its_video(fps, frames):
  gif = Image.open(io.BytesIO(events.encode_gif(moving_square(frames), fps)))
  milliseconds = 0
  for t in range(gif.n_frames):
    gif.seek(t)
    milliseconds += gif.info['duration']
  assert abs(milliseconds - 1000 * frames / fps) <= 5


def test_an_array_may_be_overwritten_once_it_was_handed_over(tmp_path):
  image = np.full((4, 4, 3), 200, np.uint8)
  with Log(tmp_path) as log:
    log.write_images(1, {'sample': image})
    image[:] = 0
  (got,) = accumulated(tmp_path).Images('sample')
  assert (np.asarray(Image.open(io.BytesIO(got.encoded_image_string))) == 200).all()


def test_tensorboard_reads_texts_and_settings(tmp_path):
  with Log(tmp_path) as log:
    log.write_texts(0, {'caption': 'a red **disc**'})
    log.write_hparams({'optim.lr': 3e-5, 'ema': True, 'model': 'unet', 'mesh': (1, 8)})
  got = plugin_event_accumulator.EventAccumulator(str(tmp_path)).Reload()
  assert got.Tensors('caption')[0].tensor_proto.string_val == [b'a red **disc**']
  content = got.SummaryMetadata('_hparams_/session_start_info').plugin_data.content
  for name in b'optim.lr', b'ema', b'unet', b'(1, 8)':
    assert name in content


def test_flush_makes_all_entries_readable_while_the_log_is_open(tmp_path):
  with Log(tmp_path) as log:
    for step in range(50):
      log.write_scalars(step, {'loss': 0.})
    assert log.flush()
    assert len(rows(tmp_path)) == len(accumulated(tmp_path).Scalars('loss')) == 50


def test_a_resumed_run_continues_after_a_line_torn_by_a_kill(tmp_path):
  with Log(tmp_path) as log:
    log.write_scalars(1, {'loss': 1.})
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 2, "los')
  with Log(tmp_path) as log:
    log.write_scalars(2, {'loss': 2.})
  assert [row['step'] for row in rows(tmp_path)] == [1, 2]
  assert [s.step for s in accumulated(tmp_path).Scalars('loss')] == [1, 2]


def write_everything(log):
  log.write_scalars(1, {'loss': 1.})
  log.write_images(1, {'image': np.zeros((2, 2, 3), np.uint8)})
  log.write_videos(1, {'video': (moving_square(), 8)})
  log.write_texts(1, {'text': 'a'})
  log.write_hparams({'lr': 1.})
  log.flush()


def test_a_removed_folder_is_counted_and_reported_once(tmp_path, capsys):
  with Log(tmp_path / 'run') as log:
    log.flush()
    shutil.rmtree(tmp_path / 'run')
    write_everything(log)
    assert log.dropped == 5
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and f'{tmp_path}/run is incomplete' in error


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  with Log(tmp_path / 'file' / 'run') as log:
    write_everything(log)
  assert log.dropped == 5
  assert capsys.readouterr().err.count('\n') == 1


def test_a_full_disk_leaves_no_torn_entries(tmp_path):
  """The limit on the size of a file stands in for the disk: writes stop in the middle of a row."""
  with Log(tmp_path) as log:
    log.write_scalars(1, {'loss': 1.})
    log.flush()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(sizes) + 10, limit[1]))
    try:
      log.write_scalars(2, {'loss': 2.})
      log.flush()
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    log.write_scalars(3, {'loss': 3.})
  assert log.dropped == 1
  assert [row['step'] for row in rows(tmp_path)] == [1, 3]
  assert [s.step for s in accumulated(tmp_path).Scalars('loss')] == [1, 3]


def test_a_value_that_cannot_be_logged_is_dropped_alone(tmp_path, capsys):
  with Log(tmp_path) as log:
    log.write_images(1, {'sample': np.zeros((2, 2, 3), np.float32)})
    log.write_scalars(1, {'loss': 1.})
  assert log.dropped == 1 and 'TypeError' in capsys.readouterr().err
  assert len(rows(tmp_path)) == 1


def test_a_disk_that_hangs_drops_entries_and_never_waits_for_long(tmp_path, monkeypatch):
  monkeypatch.setattr('svdjax.core.log.PATIENCE', 0.05)
  os.mkfifo(tmp_path / 'metrics.jsonl')  # opening it waits for a reader that never comes
  log, start = Log(tmp_path, capacity=2), time.monotonic()
  for step in range(10):
    log.write_scalars(step, {'loss': 1.})
  assert not log.flush(timeout=0.05)
  log.close(timeout=0.05)
  assert log.dropped >= 7
  assert time.monotonic() - start < 5


def test_what_is_written_after_closing_is_dropped(tmp_path):
  log = Log(tmp_path)
  log.close()
  log.close()
  log.write_scalars(1, {'loss': 1.})
  assert log.dropped == 1 and not log.flush()


def test_tensorflow_is_not_imported_where_it_is_installed(tmp_path):
  (tmp_path / 'tensorflow.py').write_text('raise SystemExit("tensorflow was imported")')
  code = ('import sys, numpy as np; from svdjax.core.log import Log\n'
          'log = Log(sys.argv[1])\n'
          'log.write_scalars(1, {"loss": 1.}); log.write_hparams({"lr": 1.})\n'
          'log.write_images(1, {"image": np.zeros((2, 2, 3), np.uint8)})\n'
          'log.write_texts(1, {"text": "a"}); log.close(); assert not log.dropped')
  path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
  run = subprocess.run([sys.executable, '-c', code, tmp_path / 'run'], capture_output=True,
                       text=True, env={**os.environ, 'PYTHONPATH': path}, check=False)
  assert run.returncode == 0, run.stderr
