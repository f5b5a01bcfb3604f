"""Settings of XLA that must be made before JAX starts."""

from importlib import metadata
import os


def configure():
  """Switches off an experimental CPU fusion of jaxlib 0.10 unless XLA_FLAGS says otherwise.

  With it, convolutions are about a fifth slower and one product pattern returns wrong numbers.
  """
  flag = '--xla_cpu_experimental_ynn_fusion_type='
  flags = os.environ.get('XLA_FLAGS', '')
  if metadata.version('jaxlib').startswith('0.10.') and flag not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {flag}'.strip()
