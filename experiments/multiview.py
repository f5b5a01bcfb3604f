"""Multi-view: 21 views of an object on a circle, from one of them (SVD-MV).

    python -m data.toyworld --output orbits --kinds turntable --frames 21 --height 48 --width 48
    python -m svdjax.main --config experiments/autoencoder.py:tiny,decoder \\
      --workdir runs/orbit_decoder --config.data.source=orbits --config.init_from=runs/autoencoder \\
      --config.data.height=48 --config.data.width=48
    python -m svdjax.main --config experiments/multiview.py:tiny --workdir runs/multiview \\
      --config.data.source=orbits --config.init_from=runs/orbit_decoder,runs/i2v_25f
    python -m svdjax.main --config experiments/multiview.py:tiny,unposed \\
      --workdir runs/multiview_unposed --config.data.source=orbits \\
      --config.init_from=runs/orbit_decoder,runs/i2v_25f
    python -m svdjax.main --config experiments/multiview.py:tiny,image \\
      --workdir runs/multiview_image --config.data.source=orbits \\
      --config.init_from=runs/orbit_decoder,runs/image_pretrain,runs/clip
    python -m svdjax.main --config experiments/multiview.py:tiny,scratch \\
      --workdir runs/multiview_scratch --config.data.source=orbits \\
      --config.init_from=runs/orbit_decoder,runs/clip

SVD section 4.5 and appendix D: 12k iterations at 576×576, batch 16, lr 1e-5, from image-to-video
with 25 frames (`posed`), and for comparison from the image model (`image`) and from nothing
(`scratch`); the elevation joins the vector conditioning. `unposed` is the model of casual footage
(MVImgNet), which knows no pose and whose portraits are turned to landscape. Noise levels, moving
average and guidance are not given: image-to-video's, but for the guidance of orbits, SV3D's. A
small autoencoder that has not seen such objects blurs them: its decoder is trained on them first.
"""

from experiments import base, i2v_14f, sizes, video_pretrain

FRAMES = {'full': 21, 'small': 21, 'tiny': 7}


def get_config(arg='full'):
  scale, variant = base.parse(arg, ('posed', 'unposed', 'image', 'scratch'))
  c = i2v_14f.image_to_video(scale, 'high', FRAMES[scale])
  if variant != 'unposed' or scale != 'full':  # toy turntables are square, footage is landscape
    c.data.height, c.data.width = sizes.RESOLUTIONS[scale]['square']
  # Views have no frame rate and no motion: all are told the released defaults, 7 and 127.
  c.data.fps, c.data.views = (7.,), 'footage' if variant == 'unposed' else 'orbit'
  if variant != 'unposed':
    c.sample.guidance = 'triangle'
    c.conditioning.scalars = (*c.conditioning.scalars, 'elevation')
    c.model.unet.vector_dim = sizes.UNET[scale]['vector_dim'] * 4 // 3
  widened = ('unet/add_embedding/linear_1/kernel',)  # by the elevation
  c.handoff.after, c.handoff.fresh = {
      'posed': ('i2v_25f', widened),
      'unposed': ('i2v_25f', ()),
      'image': ('image_pretrain and CLIP', ('unet/conv_in/kernel', *video_pretrain.TEMPORAL)),
      'scratch': ('an autoencoder and CLIP', ('unet/.*',)),
  }[variant]
  c.train.steps = {'full': 12_000, 'small': 2_000, 'tiny': 1_800}[scale]
  c.train.batch_size = {'full': 16, 'small': 16, 'tiny': 8}[scale]
  c.optim.lr = {'full': 1e-5, 'small': 2e-4, 'tiny': 1e-3}[scale]
  c.optim.decay = scale == 'tiny'  # ours: short stages end better with small steps
  return c
