"""What a run depends on beside its config."""

from importlib import metadata
import pathlib
import subprocess
import sys

import jax

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain', 'numpy', 'av')


def environment():
  """Versions, devices and git revision, JSON values."""
  versions = {name: metadata.version(name) for name in PACKAGES}
  return {'git': _revision(), 'python': sys.version.split()[0],
          'devices': [str(d) for d in jax.devices()], 'packages': versions}


def _revision():
  """Of this folder; None if it is in no repository or there is no git."""
  try:
    git = subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False,
                         cwd=pathlib.Path(__file__).parent)
  except OSError:
    return None
  return git.stdout.strip() or None
