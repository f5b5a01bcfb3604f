import re

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core import params as lib
from svdjax.core.errors import BadInput

names = st.from_regex(r'[ab]/[cd]/[0-9]{1,2}', fullmatch=True)
trees = st.dictionaries(names, st.integers(1, 3).map(np.zeros), max_size=8)


def zeros(**shapes):
  return {name.replace('__', '/'): np.zeros(shape) for name, shape in shapes.items()}


@given(trees)
def test_a_part_is_what_was_put_under_its_prefix(tree):
  both = lib.prefixed(tree, 'unet') | lib.prefixed(tree, 'unet_2')
  assert lib.part(both, 'unet') == tree and len(both) == 2 * len(tree)


def test_the_name_of_a_part_is_whole():
  assert lib.part({'unet/a': 1, 'unet_2/a': 2, 'my/unet/a': 3}, 'unet') == {'a': 1}


@given(trees, st.lists(st.sampled_from(['a/.*', '.*/d/.*', '.*/1', '.*']), max_size=3))
def test_selecting_splits_in_two(tree, patterns):
  patterns = [p for p in patterns if any(re.fullmatch(p, n) for n in tree)]
  chosen, rest = lib.select(tree, patterns)
  assert chosen | rest == tree and not set(chosen) & set(rest)
  assert all(lib.matches(n, patterns) for n in chosen)
  assert not any(lib.matches(n, patterns) for n in rest)


def test_a_pattern_is_of_the_whole_name():
  assert lib.select({'a/kernel': 1, 'b/a/kernel': 2}, ['a/.*'])[0] == {'a/kernel': 1}


def test_a_pattern_that_matches_nothing_is_refused():
  with pytest.raises(BadInput, match=r'"unet/tiem.*" matches no parameter; names look like unet/'):
    lib.select({'unet/time': 1}, ['unet/time', 'unet/tiem.*'])


def plan(shapes, source, fresh=(), dropped=()):
  return lib.plan_handoff(shapes, source, fresh, dropped, 'runs/before')


@given(trees)
def test_a_stage_with_the_parameters_of_the_one_before_takes_them_all(tree):
  assert plan(tree, tree) == (list(tree), [], [], [])


@settings(max_examples=50)
@given(trees, trees)
def test_every_parameter_of_either_stage_is_accounted_for(shapes, source):
  agree = {n: source.get(n, x) for n, x in shapes.items()}
  taken, widened, fresh, dropped = plan(agree, source, ['.*'], ['.*'])
  assert sorted(taken + widened + fresh) == sorted(shapes)
  assert sorted(taken + dropped) == sorted(source)
  assert set(taken) == set(shapes) & set(source) and not widened


def test_what_may_start_fresh_is_still_taken_where_it_is_there():
  found = plan(zeros(a=2, b=2), zeros(a=2), fresh=['.*'])
  assert (found.taken, found.fresh) == (['a'], ['b'])


@pytest.mark.parametrize('source, dropped, told', [
    (dict(a=2), (), 'b is missing'),
    (dict(a=2, b=3), (), r'b has shape \(3,\) where \(2,\) is needed'),
    (dict(a=2, b=2, c=2), (), 'c has no place here'),
    (dict(a=2, b=2, c=2, dd=2), ['d+'], 'c has no place here'),
])
def test_a_difference_that_was_not_expected_is_refused(source, dropped, told):
  with pytest.raises(BadInput, match=f'init_from runs/before is not a checkpoint.*: {told};'):
    plan(zeros(a=2, b=2), zeros(**source), dropped=dropped)


def test_another_shape_is_refused_even_where_fresh_is_allowed():
  with pytest.raises(BadInput, match='a has shape'):
    plan(zeros(a=2), zeros(a=3), fresh=['.*'])


def test_a_refusal_names_three_of_many():
  with pytest.raises(BadInput, match=r'x/0 is missing; x/1 is missing; x/2 is missing \(and 7 more'):
    plan({f'x/{i}': np.zeros(1) for i in range(10)}, {})


KERNEL = np.random.default_rng(0).standard_normal((3, 3, 4, 5))


def test_more_input_channels_widen_a_convolution_with_zeros():
  init = {'conv_in/kernel': jnp.ones((3, 3, 8, 5))}
  found = plan(init, {'conv_in/kernel': KERNEL}, fresh=['conv_in/kernel'])
  assert found.widened == ['conv_in/kernel']
  wide = lib.apply_handoff(found, init, {'conv_in/kernel': KERNEL})['conv_in/kernel']
  np.testing.assert_array_equal(wide[:, :, :4], KERNEL.astype(np.float32))
  np.testing.assert_array_equal(wide[:, :, 4:], 0.)


@pytest.mark.parametrize('shape', [(3, 3, 3, 5), (3, 3, 8, 6), (1, 1, 8, 5), (3, 8, 5)])
def test_only_input_channels_of_a_convolution_may_grow(shape):
  with pytest.raises(BadInput, match='conv_in/kernel has shape'):
    plan({'conv_in/kernel': np.zeros(shape)}, {'conv_in/kernel': KERNEL}, fresh=['.*'])


def test_widening_must_be_allowed():
  with pytest.raises(BadInput, match='conv_in/kernel has shape'):
    plan({'conv_in/kernel': np.zeros((3, 3, 8, 5))}, {'conv_in/kernel': KERNEL})


def test_a_handoff_takes_and_starts_fresh_what_was_planned():
  init, source = zeros(a=2, b=2), {'a': np.ones(2), 'c': np.ones(2)}
  got = lib.apply_handoff(plan(init, source, ['b'], ['c']), init, source)
  assert {n: x.tolist() for n, x in got.items()} == {'a': [1, 1], 'b': [0, 0]}


def test_a_plan_is_told_in_a_line_for_each_kind():
  layer = 'unet/down_blocks/{}/resnets/{}/norm/scale'
  shapes = {layer.format(i, j): np.zeros(1) for i in range(3) for j in range(2)}
  shapes |= zeros(unet__new__kernel=1)
  source = {n: x for n, x in shapes.items() if 'new' not in n} | zeros(text__old__bias=1)
  assert plan(shapes, source, ['.*'], ['.*']).describe().splitlines() == [
      'taken 6: unet/down_blocks/0, unet/down_blocks/1, unet/down_blocks/2',
      'fresh 1: unet/new/kernel', 'dropped 1: text/old/bias']
