"""A LoRA stage from training to sampling."""

import numpy as np
import pytest

from svdjax import checkpoint, train
from svdjax.convert import lora as lora_file, merge
from svdjax.tasks import parts as parts_lib

pytestmark = pytest.mark.usefixtures('compiled')


@pytest.fixture(scope='module')
def trained(nano, workdir_of, tmp_path_factory, compiled):
  """The workdirs of a base model and of a LoRA trained on it."""
  base = workdir_of('i2v_14f')
  workdir = tmp_path_factory.mktemp('lora') / 'run'
  train.train(nano('camera_lora,static', {'init_from': str(base)}), workdir)
  return base, workdir


def test_only_factors_are_trained(trained):
  base, workdir = (checkpoint.load(w)[1] for w in trained)
  for name, x in base.items():
    np.testing.assert_array_equal(workdir[name], x)
  factors = workdir.keys() - base.keys()
  assert factors and all(n.startswith('lora/unet/') for n in factors)
  assert any((workdir[n] != 0).any() for n in factors if n.endswith('/b'))


def test_its_file_is_what_the_workdir_samples_with(trained):
  base, workdir = trained
  config, params, _ = checkpoint.load(workdir)
  own = parts_lib.merged(parts_lib.build(config.model), params)
  added = lora_file.add(checkpoint.load(base)[1], f'{workdir}/lora.safetensors', config.model.unet)
  assert own.keys() == added.keys()
  for name, x in own.items():
    np.testing.assert_allclose(added[name], x, atol=1e-6, err_msg=name)
  assert any((own[n] != x).any() for n, x in checkpoint.load(base)[1].items())


def test_merged_it_is_a_checkpoint_of_the_base_model(trained, tmp_path):
  base, workdir = trained
  merge.convert(workdir, tmp_path / 'merged')
  config, params, _ = checkpoint.load(tmp_path / 'merged')
  assert params.keys() == parts_lib.build(config.model).shapes.keys()
  assert 'lora' not in config.model
