"""What a training run needs on given chips, before anything is rented.

    python -m svdjax.plan --config experiments/NAME.py[:SCALE[,VARIANT]] --topology v5p:4x4x8 \\
      [--config.FIELD=VALUE ...] [--exact]

Exits 2 if it does not fit. --exact compiles the whole step for the target: minutes to an hour.
"""

import sys
import time

from absl import flags

from svdjax import main as command
from svdjax.core import platform
from svdjax.core.errors import BadInput, run_command
from svdjax.plan import topology as topology_lib
from svdjax.validate import check_config

EXAMPLE = '--config experiments/i2v_14f.py --topology v5e:16x16'

flags.DEFINE_string('topology', None, f'Chips, as {topology_lib.EXAMPLES}.')
flags.DEFINE_bool('exact', False, 'Compile the step for the target instead of estimating.')


def main():
  """Parses the command line and prints the plan."""
  if {'-h', '--help'} & set(sys.argv):
    print(__doc__)
    return
  platform.configure()
  command.parse(sys.argv, ('config', 'topology'), EXAMPLE)
  config = flags.FLAGS.config
  target = topology_lib.parse(flags.FLAGS.topology)
  if flags.FLAGS.exact:
    from svdjax.plan import exact
    exact.prepare(target)
  from svdjax.plan import estimate, report
  began = time.monotonic()
  config.data.source = config.data.source or 'any'
  if 'vae' in config.model and not config.model.vae.scale:
    config.model.vae.scale = 1.
  check_config(config)
  plan = (exact.exact if flags.FLAGS.exact else estimate.estimate)(config, target)
  print('\n'.join(report.table(config, target, plan)))
  print(f'\nFigures are of one chip where nothing else is said. Assumed: {estimate.COMPUTE:.0%} of '
        f'the stated arithmetic, {estimate.BANDWIDTH:.0%} of the memory\'s and '
        f'{estimate.LINKS:.0%} of the links\' speed; input never waits. '
        f'Planned in {time.monotonic() - began:.0f} s.')
  if not report.fits(target, plan):
    ways = '; '.join(report.remedies(config, target, plan))
    raise BadInput(f'this does not fit: {report.gib(plan.total)} are needed of the '
                   f'{report.gib(target.chip.memory)} of a chip; try {ways}')


if __name__ == '__main__':
  run_command(main)
