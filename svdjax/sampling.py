"""The options of commands that sample: steps, sampler, schedule and guidance."""

import math

from svdjax.core.errors import BadInput
from svdjax.presets import PRESETS

_FIELDS = ('frames', 'height', 'width', 'steps', 'sampler', 'schedule', 'churn', 'decode_chunk',
           'skip_scale', 'skip_layers')


def add_arguments(add):
  """Adds the options through `add`, the add_argument of a parser."""
  add('--steps', type=int, help='denoising steps')
  add('--sampler', choices=('euler', 'heun', 'dpmpp_2m', 'dpmpp_2m_sde'))
  add('--schedule', choices=('karras', 'ays'),
      help='noise levels; ays: optimised for SVD in 10 steps')
  add('--churn', type=float, help='relative noise added before each step (euler, heun)')
  add('--guidance', type=float, nargs='+', metavar='SCALE',
      help='one scale, or the first and the last of the schedule over the frames')
  add('--guidance-schedule', choices=('constant', 'linear', 'triangle'))
  add('--guidance-interval', type=float, nargs=2, metavar=('LOW', 'HIGH'),
      help='noise levels at which guidance applies; default: all')
  add('--skip-scale', type=float, help='skip-layer guidance; default: 0, none')
  add('--skip-layers', metavar='REGEX', help='parameters of the layers that it skips')
  add('--decode-chunk', type=int, help='frames decoded at once')


def check(args):
  """Raises BadInput for options that are wrong whatever the checkpoint is."""
  for name in ('churn', 'decode_chunk', 'skip_scale'):
    value = getattr(args, name)
    if value is not None and not 0 <= value < math.inf:
      raise BadInput(f'--{name.replace("_", "-")} {value:g} is out of range: use 0 or more')
  if args.guidance and (len(args.guidance) > 2 or not all(map(math.isfinite, args.guidance))):
    raise BadInput(f'--guidance takes one or two numbers, not {args.guidance}')
  wanted = 1 if args.guidance_schedule == 'constant' else 2
  if args.guidance and args.guidance_schedule and len(args.guidance) != wanted:
    words = ('one number', 'two numbers')[wanted - 1]
    raise BadInput(f'--guidance-schedule {args.guidance_schedule} goes with {words} of --guidance, '
                   f'not {len(args.guidance)}: change one of them')
  if args.skip_layers and not args.skip_scale:
    raise BadInput('--skip-layers does nothing without --skip-scale: give both')


def settings_of(args, config, names):
  """generate.Settings from the command line over the preset's over the checkpoint's own.

  `args` may lack the sizes of the video and the preset; `names` are those of the parameters.

  Raises:
    BadInput: layers are to be skipped and the pattern matches none of `names`.
  """
  from svdjax import generate
  from svdjax.models import skip
  low, high = (None, None) if not args.guidance else (args.guidance[0], args.guidance[-1])
  preset = getattr(args, 'preset', None)
  preset = PRESETS[preset].settings if preset else {}
  schedule = args.guidance_schedule
  if args.guidance and schedule is None:
    own = (preset or config.sample)['guidance']
    schedule = 'constant' if len(args.guidance) == 1 else 'linear' if own == 'constant' else own
  given = {n: getattr(args, n, None) for n in _FIELDS}
  given |= dict(guidance=schedule, guidance_min=low, guidance_max=high,
                guidance_interval=args.guidance_interval and tuple(args.guidance_interval))
  chosen = generate.settings(config, **preset | {n: x for n, x in given.items() if x is not None})
  if chosen.skip_scale:
    skip.matched(names, chosen.skip_layers)
  return chosen
