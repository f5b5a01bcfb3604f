"""How far a long piece of work is: a bar on a terminal, an occasional line elsewhere."""

import contextlib
import sys
import time

from tqdm import tqdm

from svdjax.core.faults import say

SECONDS = 10  # between plain lines, unless a tenth of the work was done sooner


class Progress:
  """Shows finished steps, rate, time left and a few metrics on stderr.

  Use as a context manager; `update` also fits where a function of the step is wanted.
  """

  def __init__(self, total, initial=0, label='', unit='steps'):
    """Starts at step `initial` of `total`, e.g. where a resumed run continues."""
    self._total, self._label, self._unit = total, label, unit
    self._shown = initial, time.monotonic()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm(total=total, initial=initial, desc=label or None, file=sys.stderr,
                       dynamic_ncols=True, unit=unit.removesuffix('s'), mininterval=0.2)

  def update(self, step, metrics=None):
    """Moves to `step` finished steps; `metrics`, {name: number}, are only read when shown."""
    if self._bar is None:
      self._line(step, metrics)
    else:
      with contextlib.suppress(OSError):  # the terminal may be gone
        if self._bar.update(step - self._bar.n) and metrics:
          self._bar.set_postfix_str(_short(metrics))

  def close(self):
    """Leaves the bar where it is."""
    if self._bar is not None:
      self._bar.close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def _line(self, step, metrics):
    (shown, then), now = self._shown, time.monotonic()
    if step <= shown:
      return
    tenth = 10 * step // self._total > 10 * shown // self._total
    if not (tenth or now - then >= SECONDS):
      return
    rate = (step - shown) / max(now - then, 1e-9)
    left = tqdm.format_interval((self._total - step) / rate)
    parts = [f'{self._label} {step}/{self._total} ({100 * step // self._total} %)'.strip(),
             f'{rate:.3g} {self._unit}/s' if rate >= 1
             else f'{1 / rate:.3g} s/{self._unit.removesuffix("s")}',
             f'{left} left', _short(metrics or {})]
    say(', '.join(filter(None, parts)))
    self._shown = step, now


def _short(metrics):
  return ', '.join(f'{name} {float(value):.4g}' for name, value in metrics.items())
