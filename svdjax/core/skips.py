"""Steps whose loss or gradient was not finite: counted, and ended where they do not end."""

from svdjax.core.errors import Stopped

IN_A_ROW = 5


class Skips:
  """Counts the steps that changed nothing, without making the loop wait for the newest one.

  Attributes:
    total: number of steps so far, those of earlier runs of the workdir included.
  """

  def __init__(self, faults, total=0):
    """`faults`: where each is reported; `total`: steps that earlier runs skipped."""
    self.total, self._faults, self._row, self._newest = total, faults, 0, None

  def see(self, step, flag):
    """Looks at the step before this one, whose `flag` (a bool array) is computed by now.

    Raises:
      Stopped: IN_A_ROW steps one after the other were not finite.
    """
    self.settle()
    self._newest = step, flag

  def settle(self):
    """Waits for the newest step, so that `total` holds it; raises as `see`."""
    if self._newest is None:
      return
    (step, flag), self._newest = self._newest, None
    if not flag:
      self._row = 0
      return
    self.total, self._row = self.total + 1, self._row + 1
    self._faults.report('step', f'loss or gradient is not finite at step {step}, which is skipped '
                        f'({self.total} so far)', step=step)
    if self._row == IN_A_ROW:
      raise Stopped(f'{IN_A_ROW} steps in a row, the last step {step}, gave a loss or gradient '
                    'that is not finite: lower config.optim.lr and start from an earlier stage, or look '
                    'at the data of these steps')
