"""Numbers of a config that cannot work, whatever the data and the machine are."""

import math

from svdjax.core.errors import BadInput

# What may be said of a number: (test, words).
COUNT = lambda x: x >= 1, 'at least 1'
NOT_NEGATIVE = lambda x: 0 <= x < math.inf, 'at least 0'
POSITIVE = lambda x: 0 < x < math.inf, 'above 0'
SHARE = lambda x: 0 <= x <= 1, 'from 0 to 1'
DECAY = lambda x: 0 <= x < 1, 'at least 0 and below 1'
FINITE = math.isfinite, 'a finite number'

FIELDS = {
    'seed': (lambda x: 0 <= x < 2 ** 32, 'from 0 to 4294967295'),
    'train.steps': COUNT,
    'train.batch_size': COUNT,
    'train.accumulate': COUNT,
    'train.log_every': COUNT,
    'train.ema': SHARE,
    'data.frames': COUNT,
    'data.threads': COUNT,
    'data.drop_text': SHARE,
    'data.max_damaged': SHARE,
    'optim.lr': POSITIVE,
    'optim.warmup': NOT_NEGATIVE,
    'optim.b1': DECAY,
    'optim.b2': DECAY,
    'optim.weight_decay': NOT_NEGATIVE,
    'optim.clip': (lambda x: x > 0, 'above 0 (inf clips nothing)'),
    'checkpoint.every': NOT_NEGATIVE,
    'checkpoint.keep': COUNT,
    'sample.every': NOT_NEGATIVE,
    'sample.clips': NOT_NEGATIVE,
    'sample.decode_chunk': NOT_NEGATIVE,
    'sample.guidance_min': FINITE,
    'sample.guidance_max': FINITE,
    'autoencoder.norm': POSITIVE,
    'autoencoder.kl_weight': NOT_NEGATIVE,
    'autoencoder.gradient_weight': NOT_NEGATIVE,
    'autoencoder.flicker_weight': NOT_NEGATIVE,
    'autoencoder.adversarial_weight': NOT_NEGATIVE,
    'clip.temperature': POSITIVE,
    'conditioning.drop_image': SHARE,
    'diffusion.p_mean': FINITE,
    'diffusion.p_std': NOT_NEGATIVE,
}


def find(config, name):
  """The value of a field by its dotted name, None where the config has no such field."""
  for part in name.split('.'):
    if part not in config:
      return None
    config = config[part]
  return config


def check(config):
  """Raises BadInput for the first of FIELDS whose value cannot work, and for lists of numbers."""
  for name, (fine, words) in FIELDS.items():
    value = find(config, name)
    if value is not None and not fine(value):
      raise BadInput(f'config.{name} must be {words}, not {value}')
  _check_list(config, 'data.fps', _rates, 'must list positive frame rates')
  _check_list(config, 'data.captions', _shares,
              'must sum to 1: the shares of image, video and merged captions')
  _check_list(config, 'conditioning.log_cond_aug', _spread,
              'must be a mean and a standard deviation')
  _check_list(config, 'diffusion.loss_bins', _ascending, 'must be positive and ascend')


def _check_list(config, name, fine, words):
  values = find(config, name)
  if values is None:
    return
  numbers = all(isinstance(x, (int, float)) and math.isfinite(x) for x in values)
  if not numbers or not fine(values):
    raise BadInput(f'config.{name} {tuple(values)} {words}')


def _rates(values):
  return bool(values) and min(values) > 0


def _shares(values):
  return len(values) == 3 and min(values) >= 0 and abs(sum(values) - 1) < 1e-6


def _spread(values):
  return len(values) == 2 and values[1] >= 0


def _ascending(values):
  return all(low < high for low, high in zip((0, *values), values))
