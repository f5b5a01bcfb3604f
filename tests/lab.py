"""Real processes of a nano stage, to be killed."""

import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from svdjax import checkpoint, saving, state as state_lib
from svdjax.core import jsonl
from svdjax.core.params import select
from svdjax.tasks import parts as parts_lib

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Lab:
  """Runs of the nano autoencoder in processes of their own, sharing compiled programs."""

  def __init__(self, steps):
    self.folder, self.steps = pathlib.Path(tempfile.mkdtemp(prefix='reliability')), steps
    self.data, self.random = self.folder / 'toy', random.Random(0)
    os.environ.update(JAX_COMPILATION_CACHE_DIR=str(self.folder / 'programs'), PYTHONPATH=str(ROOT),
                      JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0.2',
                      JAX_DISABLE_MOST_OPTIMIZATIONS='true')
    subprocess.run([sys.executable, '-m', 'data.toyworld', '--output', str(self.data), '--clips',
                    '16', '--test-clips', '4', '--height', '32', '--width', '48', '--frames', '12'],
                   cwd=ROOT, check=True, capture_output=True)

  def start(self, name, steps=None, every=5, before=''):
    """A process that trains in a workdir of this name; `before` is Python to run first."""
    arguments = ['--config', f'{ROOT}/tests/nano.py:autoencoder', '--workdir',
                 str(self.folder / name), f'--config.data.source={self.data}',
                 '--config.optim.decay=False', f'--config.train.steps={steps or self.steps}',
                 f'--config.checkpoint.every={every}']
    program = ['-m', 'svdjax.main'] if not before else [
        '-c', f'{before}\nfrom svdjax.core.errors import run_command\nfrom svdjax import main\n'
        'run_command(main.main)']
    with open(self.folder / f'{name}.log', 'a') as log:
      return subprocess.Popen([sys.executable, *program, *arguments], cwd=ROOT, stdout=log,
                              stderr=log)

  def whole(self):
    """The workdir of a run that nothing happened to, made once."""
    if not (self.folder / 'whole').exists():
      assert self.start('whole').wait() == 0, (self.folder / 'whole.log').read_text()
    return self.folder / 'whole'

  def digest(self, name):
    """sha256 of parameters, average, optimizer and data position of the latest step."""
    workdir = self.folder / name
    config = checkpoint.load_config(workdir)
    trained, _ = select(parts_lib.build(config.model).shapes, tuple(config.train.trainable))
    like = jax.eval_shape(lambda p: state_lib.create(config, p), trained)
    state, data = saving.Checkpoints(workdir, 2).restore(like)
    found = hashlib.sha256(json.dumps([data, int(state.step)]).encode())
    for path, x in jax.tree_util.tree_leaves_with_path(state):
      found.update(f'{path}'.encode() + np.asarray(x).tobytes())
    return found.hexdigest()[:16]

  def rows(self, name):
    """({step: loss and gradient norm as written}, number of repeated steps that differ)."""
    rows, wrong = {}, 0
    for row in jsonl.read(self.folder / name / 'metrics.jsonl'):
      value = row['loss'], row['grad_norm']
      wrong += rows.setdefault(row['step'], value) != value
    return rows, wrong

  def latest(self, name):
    """The latest saved step of a run, -1 if there is none."""
    return max(checkpoint.saved_steps(self.folder / name), default=-1)

  def wait_for_step(self, name, process, step):
    """Waits until a run has saved a step past `step`, or has ended."""
    while process.poll() is None:
      if self.latest(name) > step:
        return
      time.sleep(0.02)
