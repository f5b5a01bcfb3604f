"""Clips per second from mp4 and from latents, and what a step at `tiny` waits for each.

    python tests/benchmarks/loader.py [--clips 96] [--steps 40]

Networks are drawn at random: their values do not change the time.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from svdjax.core import platform

platform.configure()

import numpy as np
from safetensors.numpy import save_file

from data import encode
from data.toyworld import clip, generate, world
from experiments import video_pretrain
from svdjax import checkpoint, train
from svdjax.core.rng import key_of
from svdjax.inputs import encoded, pipeline, record
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import parts as parts_lib


def make_data(folder, clips):
  """Toy clips as the quickstart makes them."""
  args = vars(generate.parse(['--output', str(folder), '--height', '48', '--width', '64',
                              '--frames', '16', '--fps', '12']))
  lengths = record.write_split(folder, 'train', (clip.make(args, 'train', i) for i in range(clips)))
  record.write_metadata(folder, {'train': lengths}, world.describe())


def make_networks(folder, config):
  """A converted checkpoint of random networks, with a tokenizer."""
  parts = parts_lib.build(config.model)
  params = parts.init(lambda name: key_of(0, name), parts.networks)
  (folder / 'params').mkdir(parents=True)
  for name in parts.networks:
    own = {n: np.asarray(x) for n, x in params.items() if n.startswith(f'{name}/')}
    save_file(own, checkpoint.converted_file(folder, name))
  checkpoint.write_config(folder, config)
  Tokenizer.train(pipeline.captions(config.data), config.model.clip_text.vocab,
                  config.model.clip_text.context).save(folder / 'assets')


def clips_per_second(clips, batch_size, threads, seconds=5.):
  """The rate of a loader that nothing waits for, after a first batch."""
  batches, count = pipeline.batches(clips, batch_size, 0, threads), 0
  next(batches)
  began = time.monotonic()
  while time.monotonic() - began < seconds:
    next(batches)
    count += batch_size
  return count / (time.monotonic() - began)


def steady(workdir):
  """(seconds a step, share that waits for data) over the second half of a run's rows."""
  rows = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
  half = rows[len(rows) // 2:]
  steps = half[-1]['step'] - rows[len(rows) // 2 - 1]['step']
  seconds = sum(row['seconds'] for row in half)
  return seconds / steps, sum(row['data_wait'] * row['seconds'] for row in half) / seconds


def main():
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--clips', type=int, default=96, help='of the toy world')
  parser.add_argument('--steps', type=int, default=40, help='of training; 0: the loader alone')
  args = parser.parse_args()
  root = pathlib.Path(tempfile.mkdtemp())
  make_data(root / 'toy', args.clips)
  config = video_pretrain.get_config('tiny')
  config.data.source, config.model.vae.scale = str(root / 'toy'), 1.
  make_networks(root / 'networks', config)
  encode.main(['--input', str(root / 'toy'), '--output', str(root / 'latents'), '--checkpoint',
               str(root / 'networks'), '--height', '48', '--width', '64'])
  tokenizer = Tokenizer.load(root / 'networks' / 'assets')
  config.init_from, config.sample.clips = str(root / 'networks'), 0
  config.train.steps, config.train.log_every = args.steps, max(1, args.steps // 8)
  for name, cache, latents in (('mp4', False, ''), ('mp4, frames in memory', True, ''),
                               ('latents', False, root / 'latents')):
    config.data.cache, config.data.latents = cache, str(latents)
    clips = encoded.Clips(config) if latents else pipeline.Clips(config.data, 'train', 0, tokenizer)
    rate = clips_per_second(clips, config.train.batch_size, config.data.threads)
    line = f'{name:22s} {rate:8.0f} clips/s'
    if args.steps:
      workdir = root / name.replace(' ', '_')
      train.train(config, workdir)
      step, wait = steady(workdir)
      line += (f'  {step:.3f} s a step of {config.train.batch_size} clips, {wait:.1%} waiting '
               'for data')
    print(line, flush=True)


if __name__ == '__main__':
  main()
