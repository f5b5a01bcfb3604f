"""Orbits of 50 objects of Google Scanned Objects (SVD section 4.5, table 3).

    python -m svdjax.produce --protocol experiments/protocols/gso.py --made DIR --real GSO \\
      --checkpoint runs/multiview
    python -m svdjax.measure --protocol experiments/protocols/gso.py --made DIR --real GSO …

Each object is a folder of 21 rendered views, square, over white or transparent. Views are made from
the first and compared with the true ones of the same cameras, so these must stand as the model
learned them: at one elevation, 360/21 degrees apart, in the order of a growing azimuth
(counterclockwise seen from above, the camera going to its own right). GSO/elevations.csv says how
high each object's camera stood, in columns `file` (the object's folder) and `elevation` (degrees);
`svdjax.produce --elevation DEGREES` gives one to all instead.

The first view does not count, as it was given, and PSNR is the mean over the views; the paper says
neither. SV3D's table has 300 objects and is not comparable.
"""

from experiments.protocols import base


def get_config():
  c = base.get_base()
  c.name = 'GSO'
  c.layout = 'OBJECT/000.png … OBJECT/020.png, one orbit; videos will do too; elevations.csv'
  c.files = '*'
  c.caption = ''
  c.samples = 50
  c.frames = 21
  c.given = 1
  c.resize.made = c.resize.real = (576, 576)
  c.figures = ('LPIPS', 'PSNR', 'CLIP-S')
  c.made.prompt = 'image'
  c.made.height = c.made.width = 576
  c.published.LPIPS = (('SyncDreamer', 0.18), ('Zero123', 0.18), ('Zero123XL', 0.20),
                       ('Scratch-MV', 0.22), ('SD2.1-MV', 0.18), ('SVD-MV', 0.14))
  c.published.PSNR = (('SyncDreamer', 15.29), ('Zero123', 14.87), ('Zero123XL', 14.51),
                      ('Scratch-MV', 14.20), ('SD2.1-MV', 15.06), ('SVD-MV', 16.83))
  c.published['CLIP-S'] = (('SyncDreamer', 0.88), ('Zero123', 0.87), ('Zero123XL', 0.87),
                           ('Scratch-MV', 0.76), ('SD2.1-MV', 0.83), ('SVD-MV', 0.89))
  return c
