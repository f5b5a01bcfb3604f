"""How long an index FFmpeg makes of an mp4 when it opens it.

A few numbers in the file can make it longer than any memory. Boxes are those of ISO/IEC 14496-12.
"""

import io
import re
import struct

_BOX_BYTES = 2 ** 27  # of a box that are searched


def entries(file):
  """Entries of the index of an open file, 0 of other containers.

  Returns:
    Their number, or None where the index is compressed (`cmov` of QuickTime) and cannot be counted.
  """
  total = 0
  for part in _parts(file):
    if b'cmov' in part:
      return None
    total += _entries(part)
  return total


def _parts(file):
  """Yields what lies outside of the pictures of an mp4, a track at a time; of others nothing."""
  at, size = 0, file.seek(0, io.SEEK_END)
  while at + 8 <= size:
    file.seek(at)
    length, kind, long = struct.unpack('>I4sQ', file.read(16).ljust(16, b'\0'))
    length = long if length == 1 else length or size - at
    if length < 8:
      return
    if kind.isalnum() and kind != b'mdat':
      file.seek(at)
      yield from file.read(min(length, _BOX_BYTES)).split(b'trak')
    at += length


def _entries(part):
  """How many FFmpeg would make: one a sample and edit; of PCM sound, for blocks of a chunk."""
  numbers = lambda kind, at: [int.from_bytes(x) for x in re.findall(
      b'%s(?=.{%d}(.{4}))' % (kind, at), part, re.DOTALL)]
  entries = sum(numbers(b'(?:stsz|stz2)', 8))
  handlers = re.findall(b'hdlr(?=.{8}(soun|vide))', part, re.DOTALL)
  if set(handlers) == {b'soun'} and numbers(b'stts', 4) == [1] == numbers(b'stts', 12):
    table = re.search(b'stsc.{4}(.{4})', part, re.DOTALL)
    rows = part[table.end():][:12 * int.from_bytes(table[1])] if table else b''
    rows = struct.iter_unpack('>4xI4x', rows[:len(rows) // 12 * 12])
    entries = sum(numbers(b'(?:stco|co64)', 4)) * (max((n for n, in rows), default=0) // 160 + 1)
  return entries * max(1, sum(numbers(b'elst', 4))) + sum(numbers(b'trun', 4))
