"""The training state and the step that advances it: pure functions."""

from typing import Any, NamedTuple

from einops import rearrange
import jax
import jax.numpy as jnp
import numpy as np
import optax

from svdjax import optim
from svdjax.core import mesh as mesh_lib
from svdjax.core.params import select
from svdjax.core.rng import key_of
from svdjax.tasks import LOSSES


class State(NamedTuple):
  """All that changes while training; flat dicts hold only what is trained.

  Attributes:
    step: int32, number of finished steps.
    params: {name: fp32 array}.
    ema: their moving average, the same shape.
    opt: optax state.
  """
  step: jax.Array
  params: dict
  ema: dict
  opt: Any


def create(config, params):
  """The state before the first step, from the trained parameters of the stage."""
  transform = optim.optimizer(config.optim)
  return State(jnp.int32(0), params, jax.tree.map(jnp.copy, params), transform.init(params))


def shapes(config, parts, mesh):
  """The (State, frozen parameters) of an experiment as ShapeDtypeStructs that say where they lie.

  All but small arrays are split over the mesh's `fsdp` axis (core/mesh.spec).
  """
  trained, frozen = select(parts.shapes, tuple(config.train.trainable))
  tree = jax.eval_shape(lambda p: create(config, p), trained), frozen
  return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree,
                      mesh_lib.shardings(mesh, tree))


def compiled(config, parts, mesh):
  """The step of `make_step` as jax.jit function on a mesh, which takes the state's memory over."""
  where = mesh_lib.shardings(mesh, shapes(config, parts, mesh)[0])
  return jax.jit(make_step(config, parts), donate_argnums=0,
                 out_shardings=(where, mesh_lib.replicated(mesh)))


def gradients(config, parts, params, frozen, batch, numbers, key):
  """Loss, metrics and gradients of a batch, over config.train.accumulate pieces in turn.

  Returns:
    (loss, metrics averaged over pieces, with (sum, count) pairs summed, gradients).
  """
  pieces = config.train.accumulate
  loss_fn = LOSSES[config.task]

  def objective(params, batch, key):
    return loss_fn(config, parts, frozen | params, batch | numbers, key)

  grad = jax.value_and_grad(objective, has_aux=True)
  if pieces == 1:
    (loss, metrics), grads = grad(params, batch, key)
    return loss, metrics, grads
  batch = jax.tree.map(lambda x: rearrange(x, '(b a) ... -> a b ...', a=pieces), batch)

  def add(total, i):
    piece = jax.tree.map(lambda x: x[i], batch)
    (loss, metrics), grads = grad(params, piece, jax.random.fold_in(key, i))
    return jax.tree.map(jnp.add, total, (loss, metrics, grads)), None

  first = jax.tree.map(lambda x: x[0], batch)
  (loss, metrics), grads = jax.eval_shape(grad, params, first, key)
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (loss, metrics, grads))
  (loss, metrics, grads), _ = jax.lax.scan(add, zeros, jnp.arange(pieces))
  mean = lambda x: x / pieces
  bins = metrics.pop('loss_by_sigma', None)
  metrics = jax.tree.map(mean, metrics)
  if bins is not None:
    metrics['loss_by_sigma'] = bins
  return loss / pieces, metrics, jax.tree.map(mean, grads)


def numbers_at(config, step):
  """The numbers of a recipe that are inputs of the compiled step, float32 scalars by name.

  Stages and sweeps that differ in these alone share one program: 'lr' at this step and, of a
  denoising stage, 'p_mean' and 'p_std'.
  """
  numbers = {'lr': optim.learning_rate(config.optim, config.train.steps)(step)}
  if config.task == 'denoising':
    numbers |= {'p_mean': config.diffusion.p_mean, 'p_std': config.diffusion.p_std}
  return {name: np.float32(x) for name, x in numbers.items()}


def make_step(config, parts):
  """The function (state, frozen, batch, numbers) -> (state, metrics) of a stage, not compiled.

  `frozen` is what the stage does not train, {name: array}; `numbers` comes from `numbers_at`. The
  random key of a step is a fold of the seed, a name and the step.
  """
  transform = optim.optimizer(config.optim)

  def step(state, frozen, batch, numbers):
    """One update of all parameters, none where loss or gradient is not finite ('skipped')."""
    key = key_of(config.seed, 'train', state.step)
    loss, metrics, grads = gradients(config, parts, state.params, frozen, batch, numbers, key)
    updates, opt = transform.update(grads, state.opt, state.params)
    params = jax.tree.map(lambda p, u: p - numbers['lr'] * u, state.params, updates)
    decay = optim.ema_decay(config.train.ema, state.step)
    ema = jax.tree.map(lambda e, p: p + decay * (e - p), state.ema, params)
    norm = optax.global_norm(grads)
    fine = jnp.isfinite(loss) & jnp.isfinite(norm)
    kept = jax.tree.map(lambda new, old: jnp.where(fine, new, old), (params, ema, opt),
                        (state.params, state.ema, state.opt))
    metrics |= {'loss': loss, 'grad_norm': norm, 'lr': numbers['lr'], 'skipped': ~fine}
    return State(state.step + 1, *kept), metrics

  return step
