"""Why figures that were asked for were not measured."""

import sys

from svdjax.metrics import suite

# The network in suite.Extractors that a figure needs, of which the option has the name.
NEEDS = {'FVD': 'i3d', 'Inception score (I3D)': 'i3d', 'LPIPS': 'lpips',
         'first-frame LPIPS': 'lpips', 'CLIPSIM': 'clip', 'CLIP-S': 'clip',
         'frame consistency (CLIP)': 'clip'}


def promised(extractors):
  """Names of the figures that a user asks for with the networks of an Extractors."""
  return [n for n, network in NEEDS.items() if getattr(extractors, network)]


def reasons(names, extractors, measured, counts, unpaired):
  """Why figures were not measured: {name: why}.

  Args:
    names: of all figures that were asked for.
    extractors: suite.Extractors.
    measured: names of the figures that were.
    counts: clips that were used, {'made', 'real'}.
    unpaired: why there are no figures of made clips against true ones, where there are none.
  """

  def why(name):
    if name in NEEDS and not getattr(extractors, NEEDS[name]):
      return f'it needs --{NEEDS[name]}'
    if name == 'FVD':
      least = suite.LEAST_FVD
      return (f'it needs {least["made"]} made and {least["real"]} real clips, not '
              f'{counts["made"]} and {counts["real"]}')
    if name == 'CLIPSIM':
      return ('the made clips have no captions' if extractors.clip.reads_text else
              f'--clip {extractors.clip.path} has no text tower that goes with its image tower')
    return unpaired if name in suite.PAIRED else 'there is no such figure'

  return {name: why(name) for name in names if name not in measured}


def say(reasons_of):
  """Tells the user: {name: why} as lines on stderr."""
  for name, why in reasons_of.items():
    print(f'{name}: not measured, {why}', file=sys.stderr)
