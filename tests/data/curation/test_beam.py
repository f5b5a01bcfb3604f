"""Apache Beam gives the bytes that the plain loop gives, and asks nobody on the network."""

import functools
import operator
import os
import pathlib
import socket

import pytest

from data.curation import engine
from data.toyworld import film, reel
from svdjax.core.errors import BadInput

pytest.importorskip('apache_beam')


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
  root = tmp_path_factory.mktemp('videos')
  for i in range(3):
    made = reel.make([reel.Shot('pan', 2.2, 5 * i), reel.Shot('pan', 2.2, 5 * i + 1)], 72, 96, 12)
    film.write(root / f'{i}.mp4', made.frames, 12)
  (root / 'words.mp4').write_text('no video')
  return root


def shards(output):
  return {p.name: p.read_bytes() for p in output.glob('*') if p.is_file()}


def test_beam_gives_the_bytes_of_the_loop(videos, tmp_path, command, monkeypatch):
  command(videos, tmp_path / 'loop', '--preset', 'none')
  connect = socket.socket.connect

  def local_only(self, address):
    assert self.family == socket.AF_UNIX or address[0] in ('127.0.0.1', '::1', 'localhost'), address
    return connect(self, address)

  monkeypatch.setattr(socket.socket, 'connect', local_only)
  command(videos, tmp_path / 'beam', '--preset', 'none', '--engine', 'beam')
  assert shards(tmp_path / 'beam') == shards(tmp_path / 'loop')


def test_worker_processes_give_them_too(videos, tmp_path, command):
  command(videos, tmp_path / 'loop', '--preset', 'none')
  command(videos, tmp_path / 'beam', '--preset', 'none', '--engine', 'beam',
          '--direct_num_workers=2', '--direct_running_mode=multi_processing')
  assert shards(tmp_path / 'beam') == shards(tmp_path / 'loop')


def test_what_breaks_is_told(tmp_path):
  from data.curation import beam
  found = dict(beam.Pipeline(functools.partial(operator.truediv, 1), tmp_path / 's').map([1, 0]))
  assert found[1] == 1 and found[0].code == 'CRASH'
  [(_, died)] = beam.Pipeline(os._exit, tmp_path / 's').map([3])
  assert died == engine.Broken('CRASH', 'the worker died with exit code 3')


def test_results_come_while_the_pipeline_runs(tmp_path, monkeypatch):
  """The last item waits for a file that is written once the first result is there."""
  from data.curation import beam
  monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
  monkeypatch.setenv('PYTHONPATH', str(pathlib.Path(__file__).parent), prepend=':')
  from plugins import wait_for
  signal = tmp_path / 'signal'
  found = []
  for item, result in beam.Pipeline(wait_for, tmp_path / 's').map(['', str(signal)]):
    found.append((item, result))
    signal.touch()
  assert found == [('', True), (str(signal), True)]


@pytest.mark.parametrize('runner', ['DataflowRunner', 'FlinkRunner', 'SparkRunner'])
def test_the_graph_is_built_for_other_runners(runner):
  import apache_beam
  from apache_beam.options.pipeline_options import PipelineOptions
  from data.curation import beam
  options = PipelineOptions([f'--runner={runner}', '--project=p', '--region=r',
                             '--temp_location=gs://bucket/tmp'])
  pipeline = apache_beam.Pipeline(options=PipelineOptions(['--runner=FnApiRunner']))
  beam.graph(pipeline, operator.neg, [1, 2], 'staging')
  proto = pipeline.to_runner_api()
  names = {t.unique_name for t in proto.components.transforms.values()}
  assert {'items', 'stage'} <= names and options.get_all_options()['runner'] == runner


def test_unknown_options_are_refused(videos, tmp_path, command):
  with pytest.raises(BadInput, match='--wrong'):
    command(videos, tmp_path / 'out', '--engine', 'beam', '--wrong=1')
  with pytest.raises(BadInput, match='--direct_num_workers'):
    command(videos, tmp_path / 'out', '--direct_num_workers=2')
