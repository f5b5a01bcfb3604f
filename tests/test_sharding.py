"""A step on 8 devices is the step on one; what devices send each other is what was meant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import generate, saving, state as state_lib
from svdjax.core import mesh as mesh_lib, split
from svdjax.core.params import select
from svdjax.core.rng import key_of
from svdjax.models import unet
from svdjax.plan import program
from svdjax.tasks import parts as parts_lib

pytestmark = pytest.mark.usefixtures('compiled')
SIZES = dict(channels=(16,), attention=(True,), groups=4, head_dim=8, context_dim=16)


@pytest.fixture(scope='module', autouse=True)
def split_all():
  """Parameters of small networks are split like those of large ones."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(mesh_lib, 'SMALL', 0)
    yield


def mesh_of(sizes):
  return mesh_lib.make(dict(zip(mesh_lib.AXES, sizes)))


def random_params(parts):
  """No parameter is zero, so that every gradient is tested."""
  rng = np.random.default_rng(0)
  drawn = parts.init(lambda n: key_of(0, n), parts.networks)
  return {n: x + 0.1 * rng.standard_normal(x.shape).astype(np.float32) for n, x in drawn.items()}


class Step:
  """Loss and gradients of an experiment on a batch, on any mesh."""

  def __init__(self, config):
    self.config, self.parts = config, parts_lib.build(config.model)
    self.trained, self.frozen = select(random_params(self.parts), tuple(config.train.trainable))
    self.numbers = state_lib.numbers_at(config, 0)
    rng, d, b = np.random.default_rng(1), config.data, config.train.batch_size
    self.batch = {'video': rng.integers(0, 256, (b, d.frames, d.height, d.width, 3), np.uint8),
                  'fps': np.full(b, 5., np.float32), 'motion': np.linspace(1, 200, b, dtype='f')}
    if 'clip_text' in config.model:
      shape = (b, config.model.clip_text.context)
      self.batch['tokens'] = rng.integers(0, 700, shape, np.int32)

  def __call__(self, trained, frozen, batch):
    loss, _, grads = state_lib.gradients(
        self.config, self.parts, trained, frozen, batch, self.numbers, jax.random.key(3))
    return loss, grads

  def single(self):
    return jax.jit(self.__call__)(self.trained, self.frozen, self.batch)

  def sharded(self, sizes):
    """(loss, gradients, text of the compiled program)."""
    mesh, place = mesh_of(sizes), lambda t: mesh_lib.place(t, mesh_lib.shardings(mesh, t))
    with jax.set_mesh(mesh):
      args = (place(self.trained), place(self.frozen),
              jax.device_put(self.batch, mesh_lib.of_clips(mesh)))
      out = (mesh_lib.replicated(mesh), mesh_lib.shardings(mesh, self.trained))
      program = jax.jit(self.__call__, out_shardings=out).lower(*args).compile()
      return *program(*args), program.as_text()


@pytest.fixture(scope='module')
def text(nano):
  """A text-to-video step with its single-device result."""
  config = nano('video_pretrain,high', {'data.frames': 8, 'train.batch_size': 8})
  config.model.unet.update(SIZES)
  config.model.vae.scale = 1.
  step = Step(config)
  return step, step.single()


def assert_equal_steps(found, expected):
  """fp32 sums in another order: 1e-5 of the largest entry of each gradient."""
  assert float(found[0]) == pytest.approx(float(expected[0]), rel=1e-5)
  for name, gradient in expected[1].items():
    error = np.abs(np.asarray(found[1][name]) - gradient).max()
    assert error <= 1e-5 * max(np.abs(gradient).max(), 1e-3), name


@pytest.mark.parametrize('sizes', [
    (2, 2, 2), *(pytest.param(s, marks=pytest.mark.slow) for s in (
        (8, 1, 1), (1, 8, 1), (1, 1, 8), (4, 2, 1), (1, 2, 4)))], ids=str)
def test_a_sharded_step_is_the_step_of_one_device(text, sizes):
  step, expected = text
  assert_equal_steps(step.sharded(sizes), expected)


@pytest.fixture(scope='module')
def kept(text, tmp_path_factory):
  """(workdir, state) of a run on 2 x 2 x 2 devices, every number of its state its own."""
  step, workdir, rng = text[0], tmp_path_factory.mktemp('kept'), np.random.default_rng(4)
  own = lambda x: x + (x.dtype == np.float32) * rng.uniform(0, 1e-3, x.shape).astype(x.dtype)
  state = jax.tree.map(own, state_lib.create(step.config, step.trained))
  mesh = mesh_of((2, 2, 2))
  placed = mesh_lib.place(state, mesh_lib.shardings(mesh, state))
  assert saving.Checkpoints(workdir, 1).save(placed, {'next_index': 0})
  return workdir, state


def restored(step, workdir, mesh):
  like, _ = state_lib.shapes(step.config, step.parts, mesh)
  state, _ = saving.Checkpoints(workdir, 1).restore(like)
  assert jax.tree.all(jax.tree.map(lambda x, s: x.sharding == s.sharding, state[1:], like[1:]))
  return mesh_lib.place(state, mesh_lib.shardings(mesh, state))


@pytest.mark.slow
@pytest.mark.parametrize('sizes', [
    (1, 1, 1), (2, 1, 1), (4, 1, 1), (8, 1, 1), (1, 2, 1), (1, 4, 1), (1, 8, 1), (1, 1, 2),
    (1, 2, 2), (1, 4, 2)], ids=str)
def test_a_state_is_restored_bitwise_on_any_mesh(text, kept, sizes):
  workdir, state = kept
  jax.tree.map(np.testing.assert_array_equal, restored(text[0], workdir, mesh_of(sizes)), state)


@pytest.mark.slow
def test_a_run_goes_on_alike_on_another_mesh(text, kept):
  """Sums in another order: 1e-6 of the first loss, 1e-5 of the tenth."""
  step, losses = text[0], []
  for sizes in ((1, 1, 1), (8, 1, 1), (1, 8, 1), (1, 4, 2)):
    mesh = mesh_of(sizes)
    with jax.set_mesh(mesh):
      run = state_lib.compiled(step.config, step.parts, mesh)
      state = restored(step, kept[0], mesh)
      frozen = mesh_lib.place(step.frozen, mesh_lib.shardings(mesh, step.frozen))
      batch = jax.device_put(step.batch, mesh_lib.of_clips(mesh))
      losses.append([])
      for _ in range(10):
        state, metrics = run(state, frozen, batch, step.numbers)
        losses[-1].append(float(metrics['loss']))
  for found in losses[1:]:
    assert found[0] == pytest.approx(losses[0][0], rel=1e-6)
    assert found == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.slow
def test_pieces_of_a_batch_stay_where_they_are(nano):
  config = nano('i2v_14f,base', {'data.frames': 2, 'train.batch_size': 8, 'train.accumulate': 2})
  config.model.unet.update(SIZES)
  config.model.vae.scale = 1.
  step = Step(config)
  assert_equal_steps(step.sharded((2, 1, 2)), step.single())


def test_frames_cost_two_exchanges_a_block_and_no_gathered_activations():
  """Of a UNet's forward and backward pass on frame=8: all-to-alls alone carry activations."""
  network = unet.build(unet.UNetConfig(in_channels=4, vector_dim=0, blocks=1, **SIZES))
  shape = jax.ShapeDtypeStruct
  args = (network.shapes, shape((1, 8, 8, 16, 4), jnp.float32), shape((1,), jnp.float32),
          shape((1, 5, 16), jnp.float32))
  loss = lambda p, *a: jnp.square(network.apply(p, *a)).sum()
  with jax.set_mesh(mesh_of((1, 1, 8))):
    text = jax.jit(jax.grad(loss)).lower(*args).compile().as_text()
  sent = program.collectives(text)
  activation = 8 * 8 * 16 * 16 * 4 / 8 * 7 / 8  # bytes that a device sends of one [t h w c]
  blocks = 5 + 4  # ResBlocks and transformers
  assert sent['all-to-all'] == pytest.approx(2 * 2 * blocks * activation, rel=0.01)
  embedding = 8 * 64 * 4 * 7 / 8  # of the noise level, gathered once for each ResBlock
  assert sent['all-gather'] == pytest.approx(5 * embedding, rel=0.01)


@pytest.mark.parametrize('parts', [4])
def test_sampling_with_shared_clips_is_sampling_on_one_device(nano, parts):
  config = nano('i2v_14f,base', {'data.frames': 4})
  config.model.unet.update(SIZES)
  config.model.vae.update(scale=1., temporal=True)
  networks = parts_lib.build(config.model)
  params, rng = random_params(networks), np.random.default_rng(2)
  inputs = {'image': rng.uniform(-1, 1, (1, 16, 24, 3)).astype('f'), 'fps': np.ones(1, 'f'),
            'motion': np.ones(1, 'f'), 'cond_aug': np.full(1, 0.02, 'f')}
  made = []
  for n in (1, parts):
    with mesh_lib.use({'data': 1, 'fsdp': 1, 'frame': n}):
      assert split.parts() == n
      generator = generate.build(config, networks, generate.settings(config, steps=2))
      made.append(np.asarray(generate.run(generator, params, inputs, key_of(0, 'sample')), int))
  assert np.abs(made[0] - made[1]).max() <= 1  # a grey level, where rounding is on the edge
  assert made[0].std() > 1
