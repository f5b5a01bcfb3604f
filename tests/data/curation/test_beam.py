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
  assert died == engine.Broken('CRASH', 'the worker died with exit code 3', attempt=2)


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


@pytest.fixture
def runs(monkeypatch):
  """The number of items of each pipeline that is run."""
  from data.curation import beam
  found, graph = [], beam.graph

  def count(pipeline, function, items, staging):
    found.append(len(items))
    return graph(pipeline, function, items, staging)

  monkeypatch.setattr(beam, 'graph', count)
  return found


@pytest.mark.parametrize('runner', ['FlinkRunner', 'SparkRunner', 'portable'])
def test_runners_with_a_job_server_take_one_job(runner, tmp_path, runs, monkeypatch):
  """Beam's own job server stands in for that of Flink or Spark; all else is theirs."""
  from data.curation import beam
  monkeypatch.setattr(beam, 'WAVE', 2)
  options = [f'--runner={runner}', '--job_endpoint=embed', '--environment_type=LOOPBACK',
             '--checkpointing_interval=9']
  found = dict(beam.Pipeline(operator.neg, tmp_path / 's', options).map([1, 2, 3]))
  assert found == {1: -1, 2: -2, 3: -3} and runs == [3]


def test_in_this_process_there_are_waves(tmp_path, runs, monkeypatch):
  from data.curation import beam
  monkeypatch.setattr(beam, 'WAVE', 2)
  found = dict(beam.Pipeline(operator.neg, tmp_path / 's').map([1, 2, 3]))
  assert found == {1: -1, 2: -2, 3: -3} and runs == [2, 1]


DATAFLOW = ('--runner=DataflowRunner', '--project=project', '--region=us-east1',
            '--temp_location=gs://bucket/tmp', '--worker_machine_type=n1-standard-4',
            '--worker_disk_type=pd-ssd', '--no_use_public_ips', '--experiment=shuffle_mode=service',
            '--num_workers', '3')


def test_dataflow_takes_its_options_and_the_graph(tmp_path):
  """As far as goes without its package: what is sent there is built, not sent."""
  import apache_beam
  from data.curation import beam
  from apache_beam.options.pipeline_options import DebugOptions, WorkerOptions
  options, unknown = beam._parse(DATAFLOW)  # pylint: disable=protected-access
  assert not unknown
  workers = options.view_as(WorkerOptions)
  assert (workers.machine_type, workers.disk_type) == ('n1-standard-4', 'pd-ssd')
  assert workers.use_public_ips is False and workers.num_workers == 3
  assert options.view_as(DebugOptions).experiments == ['shuffle_mode=service']
  pipeline = apache_beam.Pipeline(runner='DataflowRunner', options=options)
  beam.graph(pipeline, operator.neg, [1, 2], 'staging')
  sent = pipeline.to_runner_api().components.transforms.values()
  assert {'items', 'stage'} <= {t.unique_name for t in sent}
  try:
    import apache_beam.runners.dataflow.internal.apiclient  # pylint: disable=unused-import
  except ImportError:
    with pytest.raises(BadInput, match=r'apache[_-]beam\[gcp\]'):
      beam.Pipeline(operator.neg, tmp_path, DATAFLOW)


def test_unknown_options_are_refused(videos, tmp_path, command):
  with pytest.raises(BadInput, match='--wrong'):
    command(videos, tmp_path / 'out', '--engine', 'beam', '--wrong=1')
  with pytest.raises(BadInput, match='direct_num_workers: invalid int value'):
    command(videos, tmp_path / 'out', '--engine', 'beam', '--direct_num_workers=many')
  with pytest.raises(BadInput, match='--runner=Hadoop'):
    command(videos, tmp_path / 'out', '--engine', 'beam', '--runner=Hadoop')
  with pytest.raises(BadInput, match='--direct_num_workers'):
    command(videos, tmp_path / 'out', '--direct_num_workers=2')
