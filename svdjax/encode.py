"""Encodes the training split of a data folder, shard by shard; the command is data.encode.

Shards are there whole or not at all, and their bytes depend on records, networks and options alone:
a run that was killed goes on with the first shard that is missing.
"""

import dataclasses
import json
import os
import pathlib
import shutil

import grain
import jax
import numpy as np

from svdjax.core import distributed
from svdjax.core.errors import BadInput
from svdjax.core.faults import Faults, say
from svdjax.core.progress import Progress
from svdjax.encoding import Encoder
from svdjax.inputs import encoded, record, video


def run(source, output, paths, options):
  """Encodes a folder, or goes on where an earlier run ended; each process takes its own shards.

  Args:
    source: data folder.
    output: folder of latents.
    paths: checkpoints with the networks, separated by commas.
    options: encoding.Options.

  Raises:
    BadInput: something about them is wrong, or `output` was made with something else.
  """
  output, shards = pathlib.Path(output), record.shard_paths(source, 'train')
  encoder = Encoder(paths, options)
  meta = {'height': options.height, 'width': options.width,
          'options': json.loads(json.dumps(dataclasses.asdict(options))),
          'networks': encoder.digests, 'shapes': encoder.shapes(),
          'records': [len(_open(path)) for path in shards]}
  if not distributed.first():
    distributed.meet('latents begun')
  finished = _begin(output, meta)
  if distributed.first():
    distributed.meet('latents begun')
  if finished:
    say(f'{output} already holds these latents: nothing to do')
    return
  faults, done = Faults(output), 0
  with Progress(sum(meta['records']), 0, 'encode') as bar:
    for i, path in enumerate(shards):
      target = output / pathlib.Path(path).name
      if i % jax.process_count() == jax.process_index() and not target.is_file():
        made = _records(_open(path), encoder, faults, lambda n, done=done: bar.update(done + n))
        if not record.write_shard(target, made, encoded.features()):
          target.unlink()
          raise BadInput(f'no record of {path} can be used: take this shard away')
      done += meta['records'][i]
  distributed.meet('encoded')
  if distributed.first():
    _finish(output, source, shards, encoder, meta)


def _open(path):
  try:
    return grain.sources.ArrayRecordDataSource([str(path)])
  except RuntimeError as error:
    raise BadInput(f'shard {path} cannot be opened ({error}): make the data again') from None


def _begin(output, meta):
  """Prepares the folder; returns whether it is finished already.

  Raises:
    BadInput: it holds latents of other records, networks or options, or cannot be written.
  """
  path = output / encoded.META
  if path.is_file():
    found = json.loads(path.read_text())
    if changed := sorted(n for n in meta if found.get(n) != meta[n]):
      raise BadInput(f'output {output} holds latents of another kind ({", ".join(changed)} '
                     'differ): name a new folder')
    return found.get('finished', False)
  try:
    output.mkdir(parents=True, exist_ok=True)
    if list(output.glob(f'{record.NAME}-*')):
      raise BadInput(f'output {output} holds shards of another origin: name a new folder')
    _write_meta(output, meta | {'finished': False})
  except OSError as error:
    raise BadInput(f'output {output} cannot be written ({error.strerror}): name another') from None
  return False


def _write_meta(output, meta):
  temporary = output / f'{encoded.META}.tmp'
  temporary.write_text(json.dumps(meta, indent=1))
  os.replace(temporary, output / encoded.META)


def _records(source, encoder, faults, update):
  """Yields the encoded records of a shard; those that cannot be read are reported."""
  for i in range(len(source)):
    try:
      entry = record.decode(source[i])
      yield encoder.record(entry)
    except (video.VideoError, RuntimeError) as error:
      if isinstance(error, jax.errors.JaxRuntimeError):
        raise
      faults.report('record', f'record {i} of a shard is left out: {error}', record=i)
    update(i + 1)


def _finish(output, source, shards, encoder, meta):
  """Writes what readers need beside the shards: metadata, the empty caption, the toy world."""
  if 'text' in meta['shapes']:
    np.save(output / encoded.EMPTY, encoder.texts([''])[0])
  lengths = [len(_open(output / pathlib.Path(path).name)) for path in shards]
  record.write_metadata(output, {'train': lengths}, schema=encoded.features())
  if (world := pathlib.Path(source) / 'world.json').is_file():
    shutil.copy(world, output / 'world.json')
  _write_meta(output, meta | {'finished': True})
  say(f'{sum(lengths)} clips in {output}; train on them with --config.data.latents={output}')
