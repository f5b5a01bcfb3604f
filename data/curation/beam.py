"""The stages on Apache Beam: in this process, in worker processes, on Dataflow, Flink or Spark.

Elements are what a stage takes, never video. Stages write their results to the output folder
themselves, where writing twice changes nothing and where they are seen as they come; workers on
other machines need to see input and output under the same paths.
"""

from concurrent import futures
import contextlib
import importlib
import io
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
WAVE = 256  # items a pipeline in this process, whose runner keeps all results in memory
_IN_PROCESS = ('', 'fnapi', 'direct')
_WITH_JOB_SERVER = ('flink', 'spark', 'portable')  # which takes options that Beam here cannot know


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
    BadInput: Beam does not know an option or runner, or lacks a package for it.
  """

  def __init__(self, function, staging, arguments=()):
    self.function, self.staging = function, pathlib.Path(staging)
    self.options, unknown = _parse(arguments)
    self.runner = self.options.view_as(StandardOptions).runner
    self._kind = (self.runner or '').lower().removesuffix('runner')
    if unknown and self._kind not in _WITH_JOB_SERVER:
      raise BadInput(f'option {unknown[0]} is known neither to this command nor to Beam: see '
                     '--help and the documentation of Beam\'s runner')
    try:
      self._pipeline()
      if self._kind == 'dataflow':
        importlib.import_module('apache_beam.runners.dataflow.internal.apiclient')
    except ImportError as error:
      raise BadInput(f'--runner={self.runner} lacks a package ({error}): for Dataflow, pip install '
                     '"apache-beam[gcp]"') from error
    except ValueError as error:
      raise BadInput(f'--runner={self.runner} cannot be used: {" ".join(str(error).split())}'
                     ) from error

  def map(self, items):
    """Yields (item, result or Broken) as they come; in this process in waves, else in one job."""
    items = list(items)
    wave = WAVE if self._kind in _IN_PROCESS else max(1, len(items))
    for start in range(0, len(items), wave):
      yield from self._wave(items[start:start + wave])

  def _pipeline(self):
    # The runner is named, as Beam's default one downloads a program.
    return beam.Pipeline(runner=self.runner or FnApiRunner(), options=self.options)

  def _wave(self, items):
    shutil.rmtree(self.staging, ignore_errors=True)
    pipeline = self._pipeline()
    graph(pipeline, self.function, items, str(self.staging))
    missing = set(range(len(items)))
    with futures.ThreadPoolExecutor(1) as pool:
      running = pool.submit(lambda: pipeline.run().wait_until_finish())
      while missing:
        ended = running.done()
        for number, (broken, result) in self._arrived():
          if number in missing:
            missing.remove(number)
            yield items[number], engine.Broken(**result) if broken else result
        if ended:
          break
        futures.wait([running], timeout=_GLANCE)
      running.result()
    shutil.rmtree(self.staging, ignore_errors=True)
    for number in missing:
      yield items[number], engine.Broken('CRASH', 'its pipeline ended without a result')

  def _arrived(self):
    """Takes results out of the staging folder: [(number, (whether broken, result))]."""
    paths = sorted(self.staging.glob('[0-9]*.json'), key=lambda p: int(p.stem))
    found = [(int(p.stem), ledger.read(p)) for p in paths]
    for path in paths:
      path.unlink()
    return found

  def close(self):
    """Nothing is left running."""


def _parse(arguments):
  """(PipelineOptions, [arguments that none of its classes takes])."""
  parsers, said = [], io.StringIO()
  try:
    with contextlib.redirect_stderr(said):
      options = PipelineOptions(list(arguments))
      options.get_all_options(add_extra_args_fn=parsers.append)
      rest = parsers[0].parse_known_args(arguments)[1]
  except SystemExit as error:  # argparse's, after its usage
    raise BadInput(f'Beam refuses its options: {said.getvalue().splitlines()[-1]}') from error
  return options, [text for text in rest if text.startswith('-')]
