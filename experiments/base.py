"""What all experiments share: every field there is, and the sizes of the networks by scale.

An experiment file is called with `SCALE[,VARIANT]`: `full` is the paper, `small` one GPU for about
half an hour, `tiny` two CPU cores for minutes. "Ours" marks a figure the papers do not give.
"""

import ml_collections

from experiments import sizes

SCALES = ('full', 'small', 'tiny')
WORKDIR = '{runs}/{arm}_{seed}'  # of an arm of an ablation, see `arm`


def parse(arg, variants=('',)):
  """'tiny,high' -> ('tiny', 'high'); the first of `variants` is the default.

  Raises:
    ValueError: an unknown scale or variant.
  """
  scale, _, variant = (arg or 'full').partition(',')
  variant = variant or variants[0]
  if scale not in SCALES:
    raise ValueError(f'scale "{scale}" is unknown: use one of {", ".join(SCALES)}')
  if variant not in variants:
    known = ', '.join(v for v in variants if v) or 'none'
    raise ValueError(f'variant "{variant}" is unknown: this experiment has {known}')
  return scale, variant


def get_base(scale):
  """The fields common to all stages, with the defaults that the papers leave open."""
  c = ml_collections.ConfigDict()
  c.scale = scale
  c.seed = 0
  c.task = 'denoising'
  c.init_from = ''  # workdirs of earlier stages, separated by commas

  c.handoff = ml_collections.ConfigDict()
  c.handoff.after = ''  # the stages that init_from must name, in words
  c.handoff.fresh = ()  # patterns of parameters that may start fresh
  c.handoff.dropped = ()  # patterns of parameters of earlier stages that are not used
  c.handoff.precondition = ''  # of the UNet it starts from, where that changes with this stage

  c.model = ml_collections.ConfigDict()

  c.data = ml_collections.ConfigDict()
  c.data.source = ''  # a folder made by data.toyworld, data.shard or data.curate
  c.data.latents = ''  # a folder made of it by data.encode, read in its place while training
  c.data.frames, (c.data.height, c.data.width) = 1, sizes.RESOLUTIONS[scale]['high']
  c.data.buckets = ()  # (frames, height, width), …: several sizes in one run, each batch of one
  c.data.fps = sizes.FPS[scale]  # frame rates drawn uniformly (ours: not published)
  c.data.crop = 'center'
  c.data.captions = (0.5, 0.25, 0.25)  # image, video, merged caption (recipe 2.1)
  c.data.drop_text = 0.
  c.data.cache = scale != 'full'  # decoded frames stay in memory
  c.data.max_damaged = 0.001  # share of records that may be unreadable before a run ends (ours)
  c.data.threads = 16 if scale == 'full' else 2

  c.mesh = ml_collections.ConfigDict()  # devices: data x fsdp x frame (core/mesh.py)
  c.mesh.data = 0  # 0: all that the others leave
  c.mesh.fsdp = 1  # split parameters, moving average and optimizer state
  c.mesh.frame = 1  # share the frames of a clip

  c.train = ml_collections.ConfigDict()
  c.train.steps = 0
  c.train.batch_size = 0  # clips over all devices
  c.train.accumulate = 1  # pieces a batch is processed in
  c.train.dtype = 'bfloat16' if scale != 'tiny' else 'float32'  # compute; parameters are fp32
  c.train.trainable = ('unet/.*',)
  c.train.ema = 0.9999  # the finetuning stages (recipe 1.0); not stated for the others
  c.train.log_every = 50 if scale == 'full' else 10

  c.optim = ml_collections.ConfigDict()  # AdamW; everything but lr is ours (recipe 1.0)
  c.optim.lr = 0.
  c.optim.warmup = {'full': 1000, 'small': 200, 'tiny': 20}[scale]
  c.optim.decay = False  # cosine to zero, for short runs
  c.optim.b1, c.optim.b2 = 0.9, 0.999
  c.optim.weight_decay = 0.01
  c.optim.clip = 1.

  c.checkpoint = ml_collections.ConfigDict()
  c.checkpoint.every = 1000 if scale != 'tiny' else 200
  c.checkpoint.keep = 2

  c.sample = ml_collections.ConfigDict()  # previews while training, and defaults of svdjax.sample
  c.sample.every = 5000 if scale == 'full' else 0  # 0: at the end alone
  c.sample.clips = 4  # 0: no previews
  c.sample.sampler = 'euler'
  c.sample.steps = 25 if scale != 'tiny' else 12  # 25: released SVD
  c.sample.guidance = 'constant'
  c.sample.guidance_min = 1.
  c.sample.guidance_max = 7. if scale == 'full' else 3.  # 7: the paper's UCF-101 protocol
  # Released SVD has 700; nothing is left of a picture of 48 latents far below that.
  c.sample.sigma_min, c.sample.sigma_max = 0.002, 700. if scale != 'tiny' else 80.
  c.sample.decode_chunk = 0  # 0: all frames at once
  return c


def add_diffusion(c, precondition='edm_v', sigma='lognormal', p_mean=-1.2, p_std=1.):
  """The objective of a denoising stage and its conditioning on text."""
  c.diffusion = ml_collections.ConfigDict()
  c.diffusion.precondition = precondition
  c.diffusion.sigma = sigma  # 'lognormal', or 'discrete': uniform over SD 2.1's levels
  c.diffusion.p_mean, c.diffusion.p_std = p_mean, p_std  # of ln sigma
  c.diffusion.weight = 'v'  # lambda = (1 + sigma^2) / sigma^2 (SVD appendix D)
  c.diffusion.loss_bins = (0.1, 0.5, 1., 3., 10.)  # edges for logging alone

  c.conditioning = ml_collections.ConfigDict()
  c.conditioning.context = 'text'
  c.conditioning.concat = ''
  c.conditioning.scalars = ()
  c.conditioning.drop_image = 0.
  c.conditioning.log_cond_aug = (-3., 0.5)  # mean, std of ln noise on the image (appendix D)
  return c


def arm(config, init, data, fields=(), seconds=120):
  """What launch/ablate.py runs for one arm of an ablation and each seed: training and measuring.

  Args:
    config: experiment file, scale and variant.
    init: folders of the stages that are started from, in {prior} or {runs}.
    data: folder, may start with {prior} or {runs}.
    fields: further 'FIELD=VALUE' of the config.
    seconds: about what training takes on two cores at tiny.
  """
  options = ' '.join(f'--config.{field}' for field in fields)
  return (
      ('train', seconds, f'-m svdjax.main --config {config} --workdir {WORKDIR} '
       f'--config.data.source={data} --config.init_from={",".join(init)} --config.seed={{seed}} '
       f'{options}'.rstrip()),
      measured(data))


def measured(data, workdir=WORKDIR, options=''):
  """The step of `arm` that measures a workdir, with options of svdjax.evaluate."""
  return ('measure', 50, f'-m svdjax.evaluate --checkpoint {workdir} --data {data} --clips 32 '
          f'--out {{out}} --strip {WORKDIR}.png {options}'.rstrip())


def miniature(arg):
  """The scale of an ablation.

  Raises:
    ValueError: it is unknown, or full.
  """
  scale, _ = parse(arg)
  if scale == 'full':
    raise ValueError('scale "full" is the paper itself: use small or tiny')
  return scale
