"""Whether the networks of an experiment fit one another and can be built at their sizes."""

from svdjax.core.errors import BadInput
from svdjax.tasks.conditioning import SHARES


def check(config):
  """Raises BadInput for networks that do not fit, naming the field; `handoff.adopt` comes first."""
  model = config.model
  for name in (n for n in ('unet', 'vae', 'discriminator') if n in model):
    for width in model[name].channels:
      _require_divides(name, 'channels', width, 'groups', model[name].groups)
  if 'unet' in model:
    _check_unet(config)


def _require_divides(network, field, size, other, part):
  if part < 1 or size % part:
    raise BadInput(f'config.model.{network}.{field} {size} is not divisible by config.model.'
                   f'{network}.{other} {part}: change one of them')


def _check_unet(config):
  """What the UNet attends to, is concatenated and is told, against its sizes."""
  unet, told, levels = config.model.unet, config.conditioning, len(config.model.unet.channels)
  for level, width in enumerate(unet.channels):
    if unet.attention[level] or level == levels - 1:  # the middle attends in any case
      head = unet.head_dim if isinstance(unet.head_dim, int) else unet.head_dim[level]
      _require_divides('unet', 'channels', width, 'head_dim', head)
  tower, field = ('clip_text', 'width') if told.context == 'text' else ('clip_image', 'projection')
  z = config.model.vae.latent_channels
  _require_is('context_dim', unet.context_dim, config.model[tower][field],
              f'config.model.{tower}.{field}')
  _require_is('in_channels', unet.in_channels, {'': z, 'first_frame': 2 * z, 'masked': 2 * z + 1}[
      told.concat], f'{z} latent channels with conditioning.concat "{told.concat}"')
  parts = 2 * sum(SHARES.get(name, 1) for name in told.scalars)  # cosines and sines
  if bool(parts) != bool(unet.vector_dim) or parts and unet.vector_dim % parts:
    raise BadInput(f'config.model.unet.vector_dim {unet.vector_dim} does not hold '
                   f'{len(told.scalars)} scalars: use a multiple of {parts}' if parts else
                   f'config.model.unet.vector_dim {unet.vector_dim} has no scalars to embed: set '
                   'it to 0')


def _require_is(field, value, wanted, because):
  if value != wanted:
    raise BadInput(f'config.model.unet.{field} {value} does not go with {because}: set it to '
                   f'{wanted}')
