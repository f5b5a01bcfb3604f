"""Topologies as users write them."""

import pytest

from svdjax.core.errors import BadInput
from svdjax.plan import topology


@pytest.mark.parametrize('text, kind, count', [
    ('v5e:4x4', 'tpu', 16), ('v5p:4x4x8', 'tpu', 128), ('v6e:16x16', 'tpu', 256),
    ('gpu:8xh100', 'gpu', 8), ('cpu:8', 'cpu', 8)])
def test_chips_are_counted(text, kind, count):
  found = topology.parse(text)
  assert (found.kind, found.count) == (kind, count)


@pytest.mark.parametrize('text', ['v5e:4', 'v5e:4x4x4', 'v7:2x2', 'gpu:h100', 'gpu:8xv5e', 'cpu:0',
                                  'v5e:0x4', ''])
def test_what_is_no_topology_is_refused(text):
  with pytest.raises(BadInput, match='use one like'):
    topology.parse(text)
