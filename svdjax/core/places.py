"""Looking whether a place can be written, without a trace."""

import contextlib
import pathlib


@contextlib.contextmanager
def unmade(folder):
  """Removes those of a folder and its parents that were made inside, if nothing is in them."""
  folder = pathlib.Path(folder).absolute()
  missing = [path for path in (folder, *folder.parents) if not path.exists()]
  try:
    yield
  finally:
    for path in missing:
      with contextlib.suppress(OSError):
        path.rmdir()
