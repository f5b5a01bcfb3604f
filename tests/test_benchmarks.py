"""What benchmarks run is of the sizes that they name."""

import importlib.util
import math
import pathlib

import pytest

from svdjax.models import nn, unet

PATH = pathlib.Path(__file__).parent / 'benchmarks' / 'against_diffusers.py'


@pytest.fixture(scope='module')
def against_diffusers():
  spec = importlib.util.spec_from_file_location('against_diffusers', PATH)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize('channels, count', [
    (320, 2_255_040 + 1_026_240 + 1), (640, 8_196_480 + 3_281_280 + 1),
    (1280, 31_138_560 + 11_477_760 + 1)])
def test_a_block_has_the_parameters_of_the_released_one(against_diffusers, channels, count):
  """Spatial and temporal ResBlock and what mixes them (svd_model 1.9)."""
  config = against_diffusers.block_config(channels)
  level = nn.functional(lambda keys: unet.Level([(channels, channels)], config, 'mid', 1, 0,
                                                rngs=keys))
  assert sum(math.prod(s.shape) for s in level.shapes.values()) == count
