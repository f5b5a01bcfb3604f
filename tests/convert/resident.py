"""How many bytes of memory a conversion adds to a process.

    python tests/convert/resident.py WAY SMALL SMALL_OUT LARGE LARGE_OUT

Converts SMALL, which imports and caches everything, then LARGE, and prints by how much the second
raised the highest number of resident bytes, pages of mapped files included. That is VmHWM:
ru_maxrss starts with that of the process that started this one.
"""

import sys

from svdjax.convert import __main__ as command


def highest():
  """Resident bytes at their highest so far."""
  with open('/proc/self/status') as status:
    line = next(line for line in status if line.startswith('VmHWM'))
  return int(line.split()[1]) * 1024


def main():
  way, small, small_out, large, large_out = sys.argv[1:]
  command.main([way, small, small_out])
  before = highest()
  command.main([way, large, large_out])
  print(highest() - before)


if __name__ == '__main__':
  main()
