import subprocess
import sys

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import numpy as np

from svdjax.core.rng import fold_name
from svdjax.core.rng import key_of

seeds, steps = st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)
origins = st.tuples(seeds, st.text(max_size=8), steps)


def data(key):
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


@settings(max_examples=30, deadline=None)
@given(origins, origins)
def test_a_key_is_a_function_of_seed_name_and_step(a, b):
  assert data(key_of(*a)) == data(key_of(*a))
  assert (data(key_of(*a)) == data(key_of(*b))) == (a == b)


def test_neighbours_have_different_keys():
  keys = {data(key_of(seed, name, step))
          for seed in range(3) for name in ('train', 'init/unet', 'init/vae') for step in range(3)}
  assert len(keys) == 27


def test_a_traced_step_gives_the_same_key():
  traced = jax.jit(lambda step: jax.random.key_data(key_of(3, 'train', step)))(7)
  assert tuple(traced.tolist()) == data(key_of(3, 'train', 7))


def test_names_are_folded_in_order():
  key = jax.random.key(0)
  assert data(fold_name(fold_name(key, 'a'), 'b')) != data(fold_name(fold_name(key, 'b'), 'a'))


def test_another_process_derives_the_same_key():
  """Python's own hash of a string differs between processes."""
  script = ('import jax; from svdjax.core.rng import key_of\n'
            'print(jax.random.key_data(key_of(5, "noise", 9)).tolist())')
  out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
  assert out.stdout.strip() == str(list(data(key_of(5, 'noise', 9))))
