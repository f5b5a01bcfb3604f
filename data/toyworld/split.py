"""Which combinations are kept out of training: all that the test split shows."""

from data.toyworld import world

_THINGS = (*world.SHAPES, world.POINTER, *world.SOLIDS)
_COLORS = tuple(world.COLORS)
_MOTIONS = (*world.DIRECTIONS, 'none', *world.ZOOMS)


def held_out(shape, color, background, motion):
  """Whether a combination belongs to the test split alone, one in eight.

  An object (shape and colour) never moves a certain way over a certain background. Any three of
  the four are trained together, so that no part of a held-out caption is news.

  Args:
    shape: a shape, the pointer or a solid.
    color: its (first) colour.
    background: a background, or 'plain'.
    motion: the object's direction, the camera's move if the object is static, or 'none'.
  """
  places = (*world.BACKGROUNDS, 'plain')
  code = (_THINGS.index(shape) + 5 * _COLORS.index(color) + 2 * places.index(background)
          + 3 * _MOTIONS.index(motion))
  return code % 8 == 0
