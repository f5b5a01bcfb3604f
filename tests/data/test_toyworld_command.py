"""`python -m data.toyworld`: the same folder from the same arguments, or a refusal."""

import json

import numpy as np
import pytest

from data.toyworld import generate
from data.toyworld import split
from data.toyworld import world
from svdjax.core.errors import BadInput
from svdjax.inputs import record

SMALL = ['--clips', '6', '--test-clips', '3', '--height', '32', '--width', '48', '--frames', '6',
         '--num-shards', '2', '--keep-videos', '2']


def shards(directory, name):
  paths = record.shard_paths(directory, name)
  return [record.decode(x) for path in paths
          for x in record.array_record_module.ArrayRecordReader(path).read_all()]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  directory = tmp_path_factory.mktemp('toy')
  generate.main(['--output', str(directory), *SMALL, '--workers', '2'])
  return directory


def test_the_command_writes_records_with_their_truth(made):
  train, test = (shards(made, name) for name in world.SPLITS)
  assert (len(train), len(test)) == (6, 3)
  one = train[0]
  assert (one['width'], one['height'], one['num_frames'], one['fps']) == (48, 32, 6, 8)
  assert len(one['captions']) == 3 and one['video'][4:8] == b'ftyp' and one['motion'] >= 0
  assert len(json.loads(one['truth'])['track']) == 6
  for one in test:
    truth = json.loads(one['truth'])
    motion = truth['direction'] if truth['direction'] != 'none' else truth['camera']['move']
    assert split.held_out(truth['shape'], truth['color'], truth['background'], motion)


def test_the_number_of_workers_changes_nothing(made, tmp_path):
  generate.main(['--output', str(tmp_path), *SMALL, '--workers', '1'])
  for one, other in zip(shards(made, 'train'), shards(tmp_path, 'train'), strict=True):
    for name in one:
      np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_the_first_videos_are_kept_as_files(made):
  names = sorted(path.name for path in (made / 'videos').iterdir())
  assert names == [f'toyworld-train-00000{i}.{kind}' for i in range(2)
                   for kind in ('json', 'mp4', 'txt')]


def test_the_same_command_again_does_nothing(made, capsys):
  before = {p: p.stat().st_mtime_ns for p in made.iterdir()}
  generate.main(['--output', str(made), *SMALL])
  assert 'already' in capsys.readouterr().out
  assert before == {p: p.stat().st_mtime_ns for p in made.iterdir()}


def test_another_world_into_the_same_folder_is_refused(made):
  with pytest.raises(BadInput, match='seed 0 instead of 1'):
    generate.main(['--output', str(made), *SMALL, '--seed', '1'])


@pytest.mark.parametrize('arguments, complaint', [
    (['--kinds', 'object,cat'], 'cat'),
    (['--kinds', 'object:-1'], 'positive weight'),
    (['--height', '47'], 'even'),
    (['--clips', '0'], 'at least 1'),
])
def test_bad_arguments_are_refused_in_a_sentence(arguments, complaint, tmp_path):
  with pytest.raises(BadInput, match=complaint):
    generate.main(['--output', str(tmp_path / 'new'), *arguments])
  assert not (tmp_path / 'new').exists()


def test_a_place_that_cannot_be_written_is_refused_before_clips_are_made(tmp_path, monkeypatch):
  (tmp_path / 'file').touch()
  monkeypatch.setattr(record, 'write_split', None)
  with pytest.raises(BadInput, match='toy cannot be written'):
    generate.main(['--output', str(tmp_path / 'file' / 'toy'), *SMALL])


def test_kinds_are_read_in_one_order():
  assert list(generate.parse_kinds('camera:2,object').items()) == [('object', 1.0), ('camera', 2.0)]


def test_an_unfinished_run_leaves_no_folder_and_is_started_afresh(tmp_path, monkeypatch):
  directory = tmp_path / 'toy'
  monkeypatch.setattr(record, 'write_metadata', lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    generate.main(['--output', str(directory), *SMALL])
  assert not directory.exists()
  monkeypatch.undo()
  generate.main(['--output', str(directory), *SMALL, '--num-shards', '3'])
  assert len(record.shard_paths(directory, 'train')) == 3


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
  (tmp_path / 'holiday.mp4').touch()
  with pytest.raises(BadInput, match='no toy world'):
    generate.main(['--output', str(tmp_path), *SMALL])
