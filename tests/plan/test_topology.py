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


@pytest.mark.parametrize('text, words', [
    ('v5e:32x32', 'take one of 1x1'), ('v6e:3x7', '16x16'), ('v5p:5x5x5', 'multiples of four'),
    ('v5p:16x16x32', 'at most 6144 chips')])
def test_slices_that_are_not_made_are_refused(text, words):
  with pytest.raises(BadInput, match=words):
    topology.parse(text)


@pytest.mark.parametrize('text', ['v5p:2x2x1', 'v5p:2x4x4', 'v5p:8x8x12', 'v5e:8x16'])
def test_slices_that_are_made_are_taken(text):
  assert topology.parse(text).name == text


def test_gpus_of_several_nodes_share_the_network():
  one, many = topology.parse('gpu:8xh100').chip, topology.parse('gpu:16xh100').chip
  assert many.links < one.links and many._replace(links=one.links) == one
