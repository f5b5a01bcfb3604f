"""The stages on Apache Beam: in this process, in worker processes, on Dataflow, Flink or Spark.

Elements are what a stage takes, never video. Stages write their results to the output folder
themselves, where writing twice changes nothing and where they are seen as they come; workers on
other machines need to see input and output under the same paths.
"""

from concurrent import futures
import json
import pathlib
import shutil

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from data.curation import engine
from data.curation import ledger
from svdjax.core.errors import BadInput

_GLANCE = 0.5  # seconds between looks at what is done
WAVE = 256  # items a pipeline: its runner on one machine keeps all results in memory


class Stage(beam.DoFn):
  """(number, item) -> number, the result in NUMBER.json; a child process works, which may die."""

  def __init__(self, function, staging):
    super().__init__()
    self.function, self.staging = function, staging

  def setup(self):
    self.worker = engine.Workers(self.function, 1)

  def process(self, element):
    """(number, item) -> its number, once the result is in its file."""
    number, item = element
    [(_, result)] = self.worker.map([item])
    broken = isinstance(result, engine.Broken)
    beam.metrics.Metrics.counter('curation', 'broken' if broken else 'done').inc()
    text = json.dumps([broken, vars(result) if broken else result])
    ledger.write_bytes(f'{self.staging}/{number}.json', text.encode())
    yield number

  def teardown(self):
    self.worker.close()


def graph(pipeline, function, items, staging):
  """Adds a stage to a pipeline; the result of item i goes to the file i.json in `staging`."""
  return (pipeline | 'items' >> beam.Create(list(enumerate(items)), reshuffle=True)
          | 'stage' >> beam.ParDo(Stage(function, staging)))


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
    """Yields (item, result or Broken) in waves, within each as they come."""
    items = list(items)
    for start in range(0, len(items), WAVE):
      yield from self._wave(items[start:start + WAVE])

  def _wave(self, items):
    shutil.rmtree(self.staging, ignore_errors=True)
    # The runner is named, as Beam's default one downloads a program.
    runner = self.options.view_as(StandardOptions).runner or FnApiRunner()
    pipeline = beam.Pipeline(runner=runner, options=self.options)
    graph(pipeline, self.function, items, str(self.staging))
    missing = set(range(len(items)))
    with futures.ThreadPoolExecutor(1) as pool:
      running = pool.submit(lambda: pipeline.run().wait_until_finish())
      while missing:
        ended = running.done()
        for number in sorted(missing):
          found = ledger.read(self.staging / f'{number}.json')
          if found:
            missing.remove(number)
            broken, result = found
            yield items[number], engine.Broken(**result) if broken else result
        if ended:
          break
        futures.wait([running], timeout=_GLANCE)
      running.result()
    shutil.rmtree(self.staging, ignore_errors=True)
    for number in missing:
      yield items[number], engine.Broken('CRASH', 'its pipeline ended without a result')

  def close(self):
    """Nothing is left running."""
