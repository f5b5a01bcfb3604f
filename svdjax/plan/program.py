"""What a compiled program says of itself: its text, read for what chips send each other."""

import collections
import math
import re

KINDS = ('all-gather', 'reduce-scatter', 'all-reduce', 'all-to-all', 'collective-permute')
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8,
         'u64': 8, 'f64': 8}
HEADER = re.compile(r'(ENTRY )?%?([\w.\-]+) .*\{$')
CALL = re.compile(r'(?:calls|body|to_apply|\w+_computations?)=\{?((?:%?[\w.\-]+(?:, )?)+)')
ROUNDS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


def collectives(text):
  """{kind: bytes that a chip sends} from the text of a compiled program.

  What is in the body of a loop counts as often as the loop runs, where its text says how often.
  """
  bodies, entry = computations(text)
  sent, often = collections.Counter(), runs(bodies, entry)
  for name, lines in bodies.items():
    for line in lines:
      if found := re.search(rf'= (.*?) ({"|".join(KINDS)})(-start)?\(', line):
        sent[found[2]] += often[name] * volume(line, *found.groups())
  return dict(sent)


def computations(text):
  """({name: lines} of the computations of a program, the name of the first to run)."""
  bodies, name, entry = {'': []}, '', ''
  for line in map(str.strip, text.splitlines()):
    if ' = ' not in line and (found := HEADER.match(line)):
      name = found[2]
      bodies[name] = []
      entry = name if found[1] else entry
    else:
      bodies[name].append(line)
  return bodies, entry


def runs(bodies, entry):
  """{computation: how often it runs}."""
  often = collections.Counter()

  def visit(name, times):
    """Counts a computation that runs so many times, and those it calls."""
    often[name] += times
    for line in bodies[name]:
      rounds = ROUNDS.search(line)
      for called in CALL.findall(line):
        for one in called.replace('%', '').split(', '):
          if one in bodies:
            visit(one, times * (int(rounds[1]) if rounds else 1))

  visit(entry, 1)
  return often


def volume(line, shape, kind, start):
  """Bytes that a chip sends in one collective of a program's text."""
  found = re.findall(r'(\w+)\[([\d,]*)\]', shape)
  sizes = [BYTES.get(t, 4) * math.prod(int(n) for n in dims.split(',') if n) for t, dims in found]
  size, n = max(sizes) if start else sum(sizes), group(line)
  factor = {'all-reduce': 2 * (n - 1) / n, 'reduce-scatter': n - 1, 'collective-permute': 1}
  return size * factor.get(kind, (n - 1) / n)


def group(line):
  """How many chips take part in each group of a collective."""
  if 'source_target_pairs=' in line:
    return 2
  if found := re.search(r'replica_groups=\{\{([\d,]+)\}', line):
    return len(found[1].split(','))
  if found := re.search(r'replica_groups=\[(\d+),(\d+)\]', line):
    return int(found[2])
  if found := re.search(r"replica_groups=mesh\[(.*?)\][^{]*\{(.*?)\}", line):
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
    named = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", found[2])  # a part of an axis has its own size
    return math.prod(int(part or sizes[axis]) for axis, part in named)
  raise ValueError(f'no replica groups in {line.strip()[:200]}')
