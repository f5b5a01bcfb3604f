"""What chips send each other, read from programs."""

import jax
import jax.numpy as jnp
import pytest

from svdjax.core import mesh as mesh_lib
from svdjax.plan import program


def test_collectives_are_read_from_a_program():
  text = """
  %a = bf16[64,32]{1,0} all-gather(%x), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}
  %b = (f32[8]{0}, f32[8]{0}) all-to-all(%y, %z), replica_groups=[4,2]<=[8]
  %c = f32[16]{0} all-reduce(%w), replica_groups=[1,8]<=[8], to_apply=%sum
  %d = f32[4]{0} all-gather(%v), replica_groups=mesh['a'=2,'b'=4] {'b'}, dimensions={0}
  %f = f32[16]{0} all-gather(%t), replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}
  %e = f32[4]{0} collective-permute(%u), source_target_pairs={{0,1},{1,0}}
  """
  assert program.collectives(text) == {
      'all-gather': 64 * 32 * 2 * 3 / 4 + 16 * 3 / 4 + 64 * 3 / 4, 'all-to-all': 64 / 2,
      'all-reduce': 2 * 64 * 7 / 8, 'collective-permute': 16}


@pytest.mark.parametrize('rounds', [1, 5])
def test_what_a_loop_sends_counts_as_often_as_it_runs(rounds):
  """Of a sum over devices in each round."""
  mesh = mesh_lib.make({'data': 8, 'fsdp': 1, 'frame': 1})
  x = jax.device_put(jnp.ones((8, 256)), mesh_lib.of_clips(mesh))

  def sums(x):
    inner = lambda c, _: (jax.lax.fori_loop(0, 3, lambda _, c: (x * c[None]).sum(0), c), None)
    return jax.lax.scan(inner, jnp.ones(256), None, rounds)[0]

  text = jax.jit(sums).lower(x).compile().as_text()
  assert program.collectives(text) == {'all-reduce': 3 * rounds * 2 * 256 * 4 * 7 / 8}
