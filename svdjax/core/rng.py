"""Derived randomness: a key is a fold of the seed, a name and a step (law 3)."""

import zlib

import jax


def fold_name(key, name):
  """Folds a string into a random key; the same name always gives the same key."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


def key_of(seed, name, step=0):
  """The key of `name` at `step` of a run with `seed`."""
  return jax.random.fold_in(fold_name(jax.random.key(seed), name), step)
