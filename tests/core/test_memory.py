import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import generate
from svdjax import state
from svdjax.core import memory, share
from svdjax.core.params import select
from svdjax.core.memory import peak_bytes
from svdjax.tasks import parts as parts_lib
from svdjax.validate import abstract_batch

ALONE = {'data': 1, 'fsdp': 1, 'frame': 1}  # one device


def bytes_of(tree):
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def stated(function, args, donated=()):
  """Peak bytes by XLA's own account, and all of the arguments, also those that are not read."""
  compiled = jax.jit(function, donate_argnums=donated).lower(*args).compile()
  analysis = compiled.memory_analysis()
  return (bytes_of(args) + analysis.temp_size_in_bytes + analysis.output_size_in_bytes
          - analysis.alias_size_in_bytes)


def training(config):
  """A training step and the shapes of what it is called with."""
  parts = parts_lib.build(config.model)
  trained, frozen = select(parts.shapes, tuple(config.train.trainable))
  initial = jax.eval_shape(lambda p: state.create(config, p), trained)
  return state.make_step(config, parts), (
      initial, frozen, abstract_batch(config), state.numbers_at(config, 0))


def decoding(config, clips):
  parts = parts_lib.build(config.model)
  generator = generate.build(config, parts, generate.settings(config))
  return generator.decode, (
      parts.shapes, jax.ShapeDtypeStruct((clips,) + generator.shape, jnp.float32))


slow = pytest.mark.slow


@pytest.mark.parametrize('name, changes', [
    ('autoencoder', {'train.batch_size': 32}),
    pytest.param('clip', {'train.batch_size': 64}, marks=slow),
    pytest.param('image_pretrain', {'train.batch_size': 32}, marks=slow),
    pytest.param('video_pretrain', {'train.batch_size': 4}, marks=slow),
    pytest.param('video_pretrain', {'train.batch_size': 2, 'data.frames': 8}, marks=slow),
])
def test_a_training_step_needs_about_as_much_as_predicted(nano, name, changes):
  step, args = training(nano(name, changes))
  jaxpr = share.trace(step, ALONE, *args)
  predicted = share.step_peak(jaxpr, *args[:2], ALONE, 'cpu')
  assert 0.7 < predicted / stated(step, args, donated=0) < 1.15


def test_decoding_needs_about_as_much_as_predicted(nano):
  decode, args = decoding(nano('i2v_14f'), clips=32)
  assert 0.6 < peak_bytes(decode, *args) / stated(decode, args) < 1.15


def test_more_clips_need_more_and_pieces_and_rematerialisation_less(nano):
  def needs(changes):
    step, args = training(nano('autoencoder', {'train.batch_size': 32} | changes))
    return peak_bytes(step, *args)

  assert 1.7 < needs({'train.batch_size': 64}) / needs({}) < 2.
  assert needs({'train.accumulate': 4}) < 0.5 * needs({})
  assert needs({'model.vae.remat': 'full'}) < 0.7 * needs({})


MEGABYTE = jax.ShapeDtypeStruct((512, 512), jnp.float32)


def read_twice(y, f):
  z = f(y)
  return y * z + z


@pytest.mark.parametrize('function, megabytes', [
    (lambda x: x + 1., 1),  # takes the place of its argument
    (lambda x: x @ x, 2),
    (lambda x: (x @ x) @ (x @ x), 4),
    (lambda x: (x @ x, ((x @ x.T) @ x).sum()), 4),  # results stay until the end
    (lambda x: jax.nn.silu(x @ x).sum(), 2),  # fused into the sum
    (jax.grad(lambda x: jax.nn.silu(x @ x).sum()), 4),  # the product and its sigmoid; a gradient
    (lambda x: read_twice(x @ x, lambda y: 0.5 + jax.lax.erf(y)), 3),  # no second erf
    (lambda x: read_twice(x @ x, lambda y: 0.5 + y), 2),
    (lambda x: jax.lax.fori_loop(0, 9, lambda _, y: y @ x, x), 3),  # one round at a time
    (lambda x: jax.jit(lambda y: y @ y)(x), 2),  # calls are looked into
    (lambda x: jnp.concatenate([x, x]), 3),
    (lambda x: (x @ x).reshape(-1).reshape(x.shape).T @ x, 3),
])
def test_stored_values_are_counted(function, megabytes):
  assert peak_bytes(function, MEGABYTE) / 2**20 == pytest.approx(megabytes, abs=0.01)


def test_what_is_read_late_is_kept_until_then():
  depth = 6

  def layers(x):
    for _ in range(depth):
      x = jnp.sin(x @ x)
    return x.sum()

  forward, backward = peak_bytes(layers, MEGABYTE), peak_bytes(jax.grad(layers), MEGABYTE)
  assert forward <= 4 * 2**20 and backward >= 2 * depth * 2**20


def test_this_machine_has_memory():
  assert memory.available_bytes() > 2**20


@pytest.mark.parametrize('donated, megabytes', [((), 2), ((0,), 1)])
def test_results_that_take_the_place_of_arguments_count_once(donated, megabytes):
  program = jax.jit(lambda x: x + 1, donate_argnums=donated).lower(MEGABYTE).compile()
  assert memory.program_bytes(program) == megabytes * 2**20


@pytest.mark.parametrize('compiler, product, convolution', [
    (memory.XLA, 3, 3), (memory.TPU, 2, 1), (memory.FULL_TPU, 1, 1)])
def test_a_layer_keeps_for_its_gradients_what_the_compiler_does_not_compute_again(
    compiler, product, convolution):
  """Its result, the sigmoid of that and what the next layer reads; a TPU computes the sigmoid again,
  and within a convolution, or a product where memory is short, also what that reads."""
  def megabytes(layer, x, kernel):
    def peak(depth):
      def loss(x, kernel):
        for _ in range(depth):
          x = jax.nn.silu(layer(x, kernel))
        return layer(x, kernel).sum()
      jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 1)))(x, kernel).jaxpr
      return memory.peak_of(jaxpr, compiler=compiler)
    return (peak(8) - peak(4)) / 4 / 2**20

  picture, kernel = jnp.ones((1, 64, 64, 64)), jnp.ones((1, 1, 64, 64))
  convolve = lambda x, k: jax.lax.conv_general_dilated(
      x, k, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
  assert megabytes(jnp.matmul, MEGABYTE, MEGABYTE) == pytest.approx(product, abs=0.01)
  assert megabytes(convolve, picture, kernel) == pytest.approx(convolution, abs=0.01)


def test_where_memory_of_a_tpu_is_short_a_step_is_computed_with_less(nano):
  step, args = training(nano('video_pretrain,low'))
  jaxpr = share.trace(step, ALONE, *args)
  peak = lambda memory: share.step_peak(jaxpr, *args[:2], ALONE, 'tpu', memory)
  ample, least = peak(np.inf), peak(0.)
  assert least < 0.9 * ample
  assert peak(ample) == share.SHORT * ample and peak(ample / share.SHORT) == ample


def test_on_tpus_arrays_are_padded_along_the_axis_that_leaves_least_empty():
  size = share.of_values({}, ALONE, share.TPU_LANES)
  of = lambda *shape: size(jax.ShapeDtypeStruct(shape, np.float32)) / 4
  assert of(3, 256) == 3 * 256 and of(256, 3) == 3 * 256
  assert of(4, 100) == 4 * 128 and of() == 1
