"""What the metadata of a single file that svdjax wrote says, checked before it is used."""

from svdjax.core.errors import BadInput
from svdjax.presets import PRESETS


def _count(value):
  return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _counts(value):
  return _count(value) or isinstance(value, list) and bool(value) and all(map(_count, value))


# {part: {field: what its value must be}}; a field that is left out says nothing.
FIELDS = {
    'unet': {'head_dim': _counts, 'norm_eps': lambda x: x in ('sgm', 'diffusers')},
    'vae': {'scale': lambda x: not isinstance(x, bool) and isinstance(x, (int, float)) and 0 < x},
    'clip_image': {'heads': _count, 'layers': _count},
    'data': {n: _count for n in ('frames', 'height', 'width', 'scalar_dim')},
}


def check(told, where):
  """Refuses metadata that cannot be what svdjax writes.

  Args:
    told: the dict that the entry 'svdjax' holds.
    where: the file, for the message.

  Raises:
    BadInput: names the first part or field of a wrong value.
  """
  for part, fields in FIELDS.items():
    if not isinstance(told.get(part, {}), dict):
      _refuse(where, part, told[part])
    for field, right in fields.items():
      if field in told.get(part, {}) and not right(told[part][field]):
        _refuse(where, f'{part}.{field}', told[part][field])
  if told.get('preset', '') not in ('', *PRESETS):
    _refuse(where, 'preset', told['preset'])


def _refuse(where, name, value):
  raise BadInput(f'the metadata of {where} says {name} is {value!r}, which svdjax never writes: copy '
                 'the file again')
