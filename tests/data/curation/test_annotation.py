"""Annotators: what they say reaches the records; what they break costs their clips alone."""

import functools
import pathlib
import sys

import numpy as np
import pyarrow.parquet
import pytest
from safetensors.numpy import save_file

from data.curation import annotators, detectors, engine, ledger
from data.toyworld import film, reel
from svdjax.core.errors import BadInput


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
  root = tmp_path_factory.mktemp('videos')
  for i in range(3):
    made = reel.make([reel.Shot('pan', 2.2, 5 * i + k) for k in range(3)], 72, 96, 12)
    film.write(root / f'{i}.mp4', made.frames, 12)
  (root / '0.txt').write_text('clouds')
  return root


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
  """Makes `plugins:Plugin` importable, here and in worker processes."""
  folder = str(pathlib.Path(__file__).parent)
  monkeypatch.syspath_prepend(folder)
  monkeypatch.setenv('PYTHONPATH', folder)
  yield
  sys.modules.pop('plugins', None)


@pytest.fixture
def hurry(monkeypatch):
  """hurry(): from now on a worker is taken to hang after seconds."""
  return lambda: monkeypatch.setattr(engine, 'make', functools.partial(engine.make, patience=4.0))


def every(records, output):
  return {r['clip_id']: r for s in ('train', 'test') for r in records(output, s)}


def failures(output):
  return [f for f in pyarrow.parquet.read_table(output / 'tables/failures.parquet').to_pylist()
          if f['code'] == 'ANNOTATOR']


@pytest.mark.parametrize('how, workers', [('raise', '0'), ('rows', '0'), ('field', '0'),
                                          ('status', '0'), ('die', '1'), ('hang', '1')])
def test_a_broken_answer_costs_its_clip_alone(how, workers, videos, tmp_path, command, records,
                                              hurry):
  options = ['--preset', 'none', '--workers', workers]
  command(videos, tmp_path, *options)
  hurry()
  bad = sorted(every(records, tmp_path))[3]
  command(videos, tmp_path, *options, '--annotate', f'plugins:Plugin,how={how},bad={bad}')
  for clip_id, entry in every(records, tmp_path).items():
    assert entry['captions'][0] == ('' if clip_id == bad else f'clip {clip_id}')
    assert entry['caption_status'][0] == (0 if clip_id == bad else 1)
  [failure] = failures(tmp_path)
  assert failure['clip_id'] == bad and failure['retryable'] and failure['message']


def test_a_plugin_that_cannot_start_is_not_started_for_each_clip(videos, tmp_path, command,
                                                                 records):
  log = tmp_path / 'log'
  command(videos, tmp_path / 'out', '--preset', 'none', '--annotate',
          f'plugins:Plugin,how=setup,log={log}')
  assert log.read_text() == 'setup\n' and len(every(records, tmp_path / 'out')) == 9
  found = failures(tmp_path / 'out')
  assert len(found) == 9 and all('no weights' in f['message'] for f in found)


def test_only_clips_without_an_answer_are_asked_about(videos, tmp_path, command):
  log = tmp_path / 'log'
  run = functools.partial(command, videos, tmp_path / 'out', '--preset', 'none', '--annotate',
                          f'plugins:Plugin,log={log}')
  run()
  assert sum(map(int, log.read_text().split())) == 9
  run()
  assert sum(map(int, log.read_text().split())) == 9
  for file in (tmp_path / 'out' / 'ledger' / 'annotations').rglob('*.json'):
    file.unlink()
    break
  run()
  assert sum(map(int, log.read_text().split())) == 12


def test_answers_are_written_once_a_source(videos, tmp_path, command, monkeypatch):
  written, write = [], ledger.write
  monkeypatch.setattr(ledger, 'write', lambda path, row: written.append(path) or write(path, row))
  command(videos, tmp_path / 'out', '--preset', 'none', '--annotate', 'plugins:Plugin')
  answers = [p for p in written if 'annotations' in p.parts]
  assert len(answers) == len(set(answers)) == 3


def test_captions_join_what_the_user_said(videos, tmp_path, command, records):
  command(videos, tmp_path, '--preset', 'none', '--annotate', 'plugins:Plugin')
  entry = next(r for r in every(records, tmp_path).values() if r['source_uri'] == '0.mp4')
  image = f'clip {entry["clip_id"]}'
  assert entry['captions'] == [image, 'clouds', f'{image}. clouds']
  assert b'plugins:Plugin' in entry['annotators']


@pytest.fixture
def head(tmp_path):
  """An aesthetic head of two layers for embeddings of 16 numbers."""
  rng = np.random.default_rng(0)
  tensors = {f'layers.{i}.{n}': rng.standard_normal(shape).astype(np.float32)
             for i, n, shape in ((0, 'weight', (8, 16)), (0, 'bias', (8,)), (2, 'weight', (1, 8)),
                                 (2, 'bias', (1,)))}
  save_file(tensors, tmp_path / 'head.safetensors')
  return tmp_path / 'head.safetensors'


def test_clip_from_a_checkpoint(videos, tmp_path, command, records, workdir_of, head):
  spec = f'clip,checkpoint={workdir_of("clip")},aesthetic={head}'
  command(videos, tmp_path / 'out', '--annotate', spec, '--drop', 'clip_score<-1')
  kept = every(records, tmp_path / 'out')
  table = pyarrow.parquet.read_table(tmp_path / 'out' / 'tables' / 'clips.parquet').to_pylist()
  assert len(table) == 9 and len(kept) < 9
  for entry in kept.values():
    np.testing.assert_allclose(np.linalg.norm(entry['clip_emb'].astype(np.float32), axis=1), 1,
                               atol=2e-3)
    assert np.isfinite(entry['aesthetic']).all()
    known = entry['source_uri'] == '0.mp4'
    assert np.isfinite(entry['caption_sim']).all(axis=1).tolist() == [False, known, known]
  scores = {r['clip_id']: np.mean(r['aesthetic']) for r in table}
  dropped = sorted(scores, key=scores.get)[:2]
  assert not set(dropped) & set(kept)


def test_an_aesthetic_head_is_its_layers_one_after_another(head):
  from safetensors.numpy import load_file
  from svdjax import annotate
  weight, bias = annotate.read_head(head)
  t, x = load_file(head), np.random.default_rng(1).standard_normal(16).astype(np.float32)
  hidden = t['layers.0.weight'] @ x + t['layers.0.bias']
  np.testing.assert_allclose(weight @ x + bias, t['layers.2.weight'] @ hidden + t['layers.2.bias'],
                             rtol=1e-4)


@pytest.mark.parametrize('text, message', [
    ('nobody', 'nobody'), ('plugins:Nobody', 'Nobody'), ('plugins:Plugin,how', 'key=value'),
    ('plugins:Plugin,colour=red', 'colour'), ('clip,checkpoint=nowhere', 'nowhere'),
    ('image_caption,model=nowhere', 'nowhere'), ('text_area,model=nowhere', 'nowhere'),
    ('clip', 'write clip,checkpoint=DIR$'), ('merge_captions', 'merge_captions,model=DIR$')])
def test_bad_annotators_are_refused_before_work(text, message, videos, tmp_path, command):
  with pytest.raises(BadInput, match=message):
    command(videos, tmp_path / 'out', '--annotate', text)
  assert not (tmp_path / 'out' / 'clips').exists()


@pytest.fixture
def text_detector(tmp_path):
  """A folder with a small object detector of random weights that calls all it finds text."""
  torch = pytest.importorskip('torch')
  transformers = pytest.importorskip('transformers')
  config = transformers.YolosConfig(
      hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
      image_size=[32, 48], patch_size=8, num_detection_tokens=5,
      id2label={0: 'text', 1: 'sign'}, label2id={'text': 0, 'sign': 1})
  torch.manual_seed(0)
  model = transformers.YolosForObjectDetection(config)
  torch.nn.init.constant_(model.class_labels_classifier.layers[-1].bias[0], 10.)
  model.save_pretrained(tmp_path / 'model')
  transformers.YolosImageProcessorPil(size={'height': 32, 'width': 48}, do_pad=False
                                      ).save_pretrained(tmp_path / 'model')
  return tmp_path / 'model'


def test_text_area_by_a_detector_of_transformers(tmp_path, videos, command, records,
                                                 text_detector):
  command(videos, tmp_path / 'out', '--preset', 'none', '--annotate',
          f'text_area,model={text_detector},threshold=0')
  assert not failures(tmp_path / 'out')
  entries = every(records, tmp_path / 'out').values()
  assert all(e['text_detector'] == b'YolosForObjectDetection@text' for e in entries)
  assert any(e['text_area'].max() > 0 for e in entries)
  assert all((e['text_area'] >= 0).all() and (e['text_area'] <= 1).all() for e in entries)


@pytest.mark.parametrize('option, message', [('label=word', 'no label "word"'),
                                             ('threshold=much', 'threshold=much')])
def test_bad_options_of_a_detector_are_refused(option, message, text_detector):
  with pytest.raises(BadInput, match=message):
    annotators.make(annotators.parse(f'text_area,model={text_detector},{option}'))


def test_boxes_are_counted_once_and_only_those_of_text():
  boxes = np.float32([[0, 0, 4, 5], [2, 0, 6, 5], [-3, 5, 2, 99], [0, 0, 10, 10]])
  assert detectors.covered(boxes, [0, 0, 0, 1], [0], (10, 10)) == pytest.approx(0.3 + 0.1)
