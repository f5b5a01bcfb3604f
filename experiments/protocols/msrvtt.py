"""CLIPSIM on the test set of MSR-VTT (Align your Latents, 2304.08818).

    python -m svdjax.measure --protocol experiments/protocols/msrvtt.py --made DIR --real MSR-VTT …

2,990 test videos, one caption of the twenty of each, drawn at random beforehand into captions.csv;
16 frames at 30 a second. The published values are of CLIP ViT-B/32.
"""

from experiments.protocols import base


def get_config():
  c = base.get_base()
  c.name = 'MSR-VTT'
  c.layout = 'videoNNNN.mp4 of the test set, and captions.csv with columns file,caption'
  c.files = '*.mp4'
  c.samples = 2_990
  c.frames, c.fps = 16, 30.
  c.paired = False
  c.figures = ('CLIPSIM',)
  c.published.CLIPSIM = (('GODIVA', 0.2402), ('NÜWA', 0.2439), ('CogVideo (Chinese)', 0.2614),
                         ('CogVideo (English)', 0.2631), ('Video LDM (SD 1.4)', 0.2848),
                         ('Video LDM (SD 2.1)', 0.2929), ('Make-A-Video', 0.3049))
  return c
