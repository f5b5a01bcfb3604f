"""Which combinations are kept out of training: all that the test split shows."""

from data.toyworld import world

_THINGS = (*world.SHAPES, world.POINTER, *world.SOLIDS)
_COLORS = tuple(world.COLORS)
_MOTIONS = (*world.DIRECTIONS, 'none', *world.ZOOMS)


def held_out(shape, color, background, motion):
  """Whether a combination belongs to the test split alone, about one in five.

  Every shape has one colour it never wears in training (a diagonal of the table), and some
  shapes never move a certain way over a certain background. Each word on its own is trained.

  Args:
    shape: a shape, the pointer or a solid.
    color: its (first) colour.
    background: a background, or 'plain' (then the colour alone decides).
    motion: the object's direction, the camera's move if the object is static, or 'none'.
  """
  thing = _THINGS.index(shape)
  if (thing + _COLORS.index(color)) % len(_COLORS) == 0:
    return True
  if background not in world.BACKGROUNDS:
    return False
  place = world.BACKGROUNDS.index(background)
  return (thing + 2 * place + 3 * _MOTIONS.index(motion)) % 16 == 0
