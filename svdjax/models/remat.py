"""Rematerialisation of blocks by named policy."""

import jax

POLICIES = {
    'none': None,
    'full': jax.checkpoint_policies.nothing_saveable,
    'matmuls': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def checkpoint(policy):
  """Policy name -> a function running block(*args), recomputed backwards as the policy says."""
  if policy == 'none':
    return lambda block, *args: block(*args)
  return jax.checkpoint(lambda block, *args: block(*args), policy=POLICIES[policy])
