"""The overview of parameters adds up and stays short."""

import jax
import jax.numpy as jnp
import numpy as np

from svdjax.core.overview import parameter_overview

PARAMS = {
    'unet/conv_in/weight': np.zeros((3, 3, 8, 320)),
    'unet/conv_in/bias': np.zeros(320),
    'unet/down_blocks/0/resnets/0/norm1/weight': np.zeros(320),
    'unet/down_blocks/0/attentions/0/norm/weight': np.zeros(320),
    'unet/down_blocks/1/resnets/0/norm1/weight': np.zeros(640),
    'logit_scale': np.zeros(()),
}


def rows(table):
  return {row.split()[0]: row.split()[1:] for row in table.splitlines()}


def test_parameters_are_grouped_by_the_part_they_belong_to():
  assert rows(parameter_overview(PARAMS)) == {
      'part': ['tensors', 'parameters', 'trainable'],
      'unet/conv_in': ['2', '23,360', '100.0', '%'],
      'unet/down_blocks/0': ['2', '640', '100.0', '%'],
      'unet/down_blocks/1': ['1', '640', '100.0', '%'],
      'logit_scale': ['1', '1', '100.0', '%'],
      'total': ['6', '24,641', '100.0', '%'],
  }


def test_the_trainable_share_is_one_of_parameters_not_of_tensors():
  table = rows(parameter_overview(PARAMS, ['unet/conv_in/bias', 'logit_scale']))
  assert table['unet/conv_in'][2] == '1.4'  # 320 / 23,360
  assert table['unet/down_blocks/0'][2] == '0.0'
  assert table['total'][2] == '1.3'


def test_columns_line_up():
  assert len({len(line) for line in parameter_overview(PARAMS).splitlines()}) == 1


def test_shapes_do_as_well_as_arrays():
  shapes = {name: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16) for name, x in PARAMS.items()}
  assert parameter_overview(shapes) == parameter_overview(PARAMS)


def test_a_model_without_parameters_has_a_total_of_none():
  assert rows(parameter_overview({}))['total'] == ['0', '0', '0.0', '%']
