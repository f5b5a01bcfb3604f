"""Processes, devices and a sum over all of them: what to run before a training run.

    python launch/doctor.py [--distributed | --coordinator HOST:PORT --processes N --process I]
"""

import argparse
import socket
import sys
import time

from svdjax.core import distributed, platform
from svdjax.core.errors import BadInput, run_command


def main():
  """Joins the other processes, sums over all devices and prints what was found."""
  parser = argparse.ArgumentParser(description=__doc__)
  distributed.add_options(parser)
  args = parser.parse_args()
  platform.configure()
  distributed.initialize(args.distributed, args.coordinator, args.processes, args.process)
  import jax
  import numpy as np
  from svdjax.core import mesh as mesh_lib
  own, everyone = jax.local_devices(), jax.devices()
  stats = own[0].memory_stats() or {}
  memory = f', {stats["bytes_limit"] / 2 ** 30:.1f} GiB each' if 'bytes_limit' in stats else ''
  print(f'process {jax.process_index()} of {jax.process_count()} on {socket.gethostname()}: '
        f'{len(own)} x {own[0].device_kind}{memory}', flush=True)
  mesh = mesh_lib.make({'data': 0, 'fsdp': 1, 'frame': 1})
  ids = mesh_lib.place(np.arange(len(everyone), dtype=np.int32), mesh_lib.of_clips(mesh))
  total = jax.jit(lambda x: x.sum(), out_shardings=mesh_lib.replicated(mesh))
  total(ids).block_until_ready()
  began = time.monotonic()
  found, seconds = int(total(ids)), time.monotonic() - began
  wanted = sum(range(len(everyone)))
  if found != wanted:
    raise BadInput(f'the sum over {len(everyone)} devices is {found} instead of {wanted}: restart '
                   'the hosts, and look for one with a broken device')
  if distributed.first():
    print(f'a sum over {len(everyone)} devices is right and took {1000 * seconds:.1f} ms: ready')
  sys.stdout.flush()


if __name__ == '__main__':
  run_command(main)
