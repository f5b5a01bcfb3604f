"""Camera-motion LoRA: low-rank factors for one camera move, on top of image-to-video.

    python -m data.toyworld --output camera --kinds camera:3,steady --frames 16 --fps 12 \\
      --height 48 --width 64
    python -m svdjax.main --config experiments/autoencoder.py:tiny,decoder \\
      --workdir runs/camera_decoder --config.data.source=camera --config.init_from=runs/autoencoder
    python -m svdjax.main --config experiments/i2v_14f.py:tiny --workdir runs/i2v_camera \\
      --config.data.source=camera --config.init_from=runs/camera_decoder,runs/i2v_14f \\
      --config.train.steps=900
    python -m svdjax.main --config experiments/camera_lora.py:tiny,horizontal \\
      --workdir runs/horizontal --config.data.source=camera --config.init_from=runs/i2v_camera
    python -m svdjax.main --config experiments/camera_lora.py:tiny,zoom \\
      --workdir runs/zoom --config.data.source=camera --config.init_from=runs/i2v_camera
    python -m svdjax.main --config experiments/camera_lora.py:tiny,static \\
      --workdir runs/static --config.data.source=camera --config.init_from=runs/i2v_camera

SVD section 4.3.2: rank 16 in the temporal attention blocks, 5k iterations on a small dataset with
camera annotations, one LoRA for each of three moves. It chooses among moves that the model knows,
which the quickstart's has seen little of: hence the stage before. WORKDIR/lora.safetensors goes to
`svdjax.sample --lora`. At `tiny` horizontal is left and zoom is in; the other direction:
--config.data.camera="('right',)".
"""

from experiments import base, i2v_14f, sizes

MOVES = {'horizontal': ('left', 'right'), 'zoom': ('in', 'out'), 'static': ('none',)}
TEMPORAL_ATTENTION = r'unet/.*/temporal_transformer_blocks/.*/attn[12]/.*/kernel'


def get_config(arg='full'):
  scale, variant = base.parse(arg, tuple(MOVES))
  c = i2v_14f.image_to_video(scale, 'high', sizes.FRAMES[scale]['short'])
  c.handoff.after = 'i2v_14f'
  c.handoff.fresh = ('lora/.*',)
  # The rank and the iterations are the paper's; projections, alpha, rate and batch are ours.
  c.model.lora = dict(rank=16, alpha=16., targets=(TEMPORAL_ATTENTION,))
  c.train.trainable = ('lora/.*',)
  # Ours: which of the two it is to be takes longer to learn than one alone.
  c.data.camera = MOVES[variant][:1] if scale == 'tiny' else MOVES[variant]
  # Ours: the model takes a standing camera from low buckets, which teaches factors nothing; told
  # the bucket of any clip, they keep it standing whatever is asked for.
  c.data.any_motion = variant == 'static'
  c.optim.weight_decay = 0.
  c.optim.lr = {'full': 1e-4, 'small': 1e-3, 'tiny': 1e-2}[scale]
  tiny = 1_200 if variant == 'zoom' else 500  # of 500, zoom shows little
  c.train.steps = {'full': 5_000, 'small': 1_000, 'tiny': tiny}[scale]
  c.optim.decay = scale == 'tiny'  # ours: short stages end better with small steps
  c.train.batch_size = {'full': 64, 'small': 16, 'tiny': 8}[scale]
  return c
