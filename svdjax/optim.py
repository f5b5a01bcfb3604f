"""Optimizer, learning rate and moving average of a stage."""

import jax.numpy as jnp
import optax


def learning_rate(optim, steps):
  """Linear warm-up, then constant or (optim.decay) a cosine to zero: step -> learning rate.

  The papers state constant rates only; warm-up and decay are ours.
  """
  if optim.decay:
    return optax.warmup_cosine_decay_schedule(
        0. if optim.warmup else optim.lr, optim.lr, optim.warmup, max(steps, optim.warmup + 1))
  return optax.join_schedules(
      [optax.linear_schedule(0., optim.lr, optim.warmup), optax.constant_schedule(optim.lr)],
      [optim.warmup])


def optimizer(optim):
  """AdamW with clipping by global norm, as an optax transformation without its learning rate.

  Its updates are multiplied by minus the learning rate of the step, which is an input of the
  compiled program: stages and sweeps that differ in it share one program.
  """
  return optax.chain(
      optax.clip_by_global_norm(optim.clip), optax.scale_by_adam(b1=optim.b1, b2=optim.b2),
      optax.add_decayed_weights(optim.weight_decay))


def ema_decay(ema, step):
  """Decay of the moving average at a step: lower at first, so that it forgets the start.

  min(ema, (1 + step) / (10 + step)), the usual warm-up of an average.
  """
  step = jnp.asarray(step, jnp.float32)
  return jnp.minimum(ema, (1. + step) / (10. + step))
