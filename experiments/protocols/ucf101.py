"""Zero-shot UCF-101 (SVD table 2 and appendix E.4).

    python -m svdjax.measure --protocol experiments/protocols/ucf101.py --made DIR --real UCF-101 …

13,320 clips with the class counts of the data set, prompted by the raw class name; made at 320×576,
16 frames at 25 a second, resized to 240×432 and cropped to 240×320. The paper does not say which 16
frames of a real clip it takes, nor its sampler and steps.
"""

from experiments.protocols import base


def get_config():
  c = base.get_base()
  c.name = 'UCF-101'
  c.layout = 'CLASS/v_CLASS_gNN_cNN.avi, as distributed'
  c.files = '*/*.avi'
  c.caption = 'folder'
  c.samples = 13_320
  c.frames, c.fps = 16, 25.
  c.window = 'first'  # ours: not said
  c.resize.made = (240, 432)
  c.crop = (240, 320)
  c.paired = False
  c.figures = ('FVD', 'Inception score (I3D)')
  c.made.height, c.made.width = 320, 576
  c.made.guidance = 7.
  c.published.FVD = (('CogVideo (Chinese)', 751.34), ('CogVideo (English)', 701.59),
                     ('MagicVideo', 655.00), ('Video LDM', 550.61), ('Make-A-Video', 367.23),
                     ('PYoCo', 355.20), ('SVD base', 242.02))
  return c
