"""The stages on Apache Beam: in this process, in worker processes, on Dataflow, Flink or Spark.

Elements are what a stage takes and what it says, never video. Stages write their results to the
output folder themselves, where writing twice changes nothing; workers on other machines need to
see input and output under the same paths.
"""

import json
import pathlib
import shutil

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from data.curation import engine
from svdjax.core.errors import BadInput

WAVE = 256  # items a pipeline: its runner on one machine keeps all results in memory


class Stage(beam.DoFn):
  """(number, item) -> a line of JSON; a child process works, which may die or hang."""

  def __init__(self, function):
    super().__init__()
    self.function = function

  def setup(self):
    self.worker = engine.Workers(self.function, 1)

  def process(self, element):
    number, item = element
    [(_, result)] = self.worker.map([item])
    broken = isinstance(result, engine.Broken)
    beam.metrics.Metrics.counter('curation', 'broken' if broken else 'done').inc()
    yield json.dumps([number, broken, vars(result) if broken else result])

  def teardown(self):
    self.worker.close()


def graph(pipeline, function, items, prefix):
  """Adds a stage to a pipeline; its results go to text files whose paths begin with `prefix`."""
  return (pipeline | 'items' >> beam.Create(list(enumerate(items)), reshuffle=True)
          | 'stage' >> beam.ParDo(Stage(function))
          | 'results' >> beam.io.WriteToText(prefix))


class Pipeline:
  """Runs items of one stage, with the interface of engine.Here.

  Args:
    function: of one item, importable by name or a partial of such; its result is JSON.
    staging: folder, seen by all workers, for results on their way.
    arguments: Beam's own options, as on a command line.

  Raises:
    BadInput: Beam does not know an option.
  """

  def __init__(self, function, staging, arguments=()):
    self.function, self.staging = function, pathlib.Path(staging)
    self.options = PipelineOptions(list(arguments))
    unknown = {name for name in arguments if name.startswith('--')
               and name[2:].partition('=')[0] not in self.options.get_all_options()}
    if unknown:
      raise BadInput(f'option {min(unknown)} is known neither to this command nor to Beam: see '
                     '--help and the documentation of Beam\'s runner')

  def map(self, items):
    """Yields (item, result or Broken) in waves, each in the order of its items."""
    items = list(items)
    for start in range(0, len(items), WAVE):
      yield from self._wave(items[start:start + WAVE])

  def _wave(self, items):
    shutil.rmtree(self.staging, ignore_errors=True)
    # The runner is named, as Beam's default one downloads a program.
    runner = self.options.view_as(StandardOptions).runner or FnApiRunner()
    with beam.Pipeline(runner=runner, options=self.options) as pipeline:
      graph(pipeline, self.function, items, str(self.staging / 'result'))
    lines = [line for path in self.staging.glob('result-*')
             for line in path.read_text(encoding='utf-8').splitlines()]
    shutil.rmtree(self.staging, ignore_errors=True)
    for number, broken, result in sorted(map(json.loads, lines), key=lambda found: found[0]):
      yield items[number], engine.Broken(**result) if broken else result

  def close(self):
    """Nothing is left running."""
