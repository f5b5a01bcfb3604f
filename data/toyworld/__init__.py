"""A small rendered world whose truth is known: every clip's colour, shape, motion and camera."""
