"""Two folders of clips against each other, with no protocol of the literature.

    python -m svdjax.measure --protocol experiments/protocols/clips.py --made DIR --real DIR …
"""

from experiments.protocols import base


def get_config():
  return base.get_base()
