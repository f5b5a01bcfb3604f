"""Reading from storage that fails now and then: tried again, ever more slowly."""

import errno
import hashlib
import time

from data.curation import pulse

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
_CHUNK = 2 ** 22
# No patience mends these.
_FINAL = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENOSPC,
          errno.EDQUOT, errno.EROFS)


def persistently(work):
  """work(), tried up to five times while it raises an OSError that may pass."""
  for pause in PAUSES:
    try:
      return work()
    except OSError as error:
      if error.errno in _FINAL:
        raise
      pulse.beat(pause)
      time.sleep(pause)
  return work()


def attempts(error):
  """How often `persistently` tried what ended with an OSError."""
  return 1 if error.errno in _FINAL else 1 + len(PAUSES)


def digest(path):
  """(blake2b-128 hex digest, number) of a file's bytes.

  Raises:
    OSError: it cannot be read.
  """
  found, size = hashlib.blake2b(digest_size=16), 0
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK):
      pulse.beat()
      found.update(chunk)
      size += len(chunk)
  return found.hexdigest(), size
