import dataclasses
import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.core.errors import BadInput
from svdjax.models import clip, clip_layers

IMAGE = clip.ImageConfig(width=64, layers=4, heads=4, mlp=256, patch=14, size=56, projection=48)
TEXT = clip.TextConfig(width=32, layers=2, heads=4, mlp=64, context=9, vocab=50, projection=48)
END = TEXT.vocab - 1
POSITIONS = 'vision_model/embeddings/position_embedding/embedding'


@pytest.fixture(scope='module')
def image():
  tower = clip.build_image(IMAGE)
  return jax.jit(tower.apply), tower.init(jax.random.key(0))


@pytest.fixture(scope='module')
def text():
  tower = clip.build_text(TEXT)
  return jax.jit(tower.apply), tower.init(jax.random.key(1))


def pictures(n, seed=0):
  return jax.random.normal(jax.random.key(seed), (n, IMAGE.size, IMAGE.size, 3))


def captions(*lengths):
  """Rows of `length` tokens, the end token and zeros: int32 [n context]."""
  random = np.random.default_rng(0)
  rows = np.zeros((len(lengths), TEXT.context), np.int32)
  for row, n in zip(rows, lengths):
    row[:n + 1] = [*random.integers(1, END, n), END]
  return jnp.asarray(rows)


def count(tower):
  return sum(math.prod(s.shape) for s in tower.shapes.values())


@pytest.mark.parametrize('build, config, parameters', [
    (clip.build_image, clip.IMAGE_VIT_H, 632_076_800),
    (clip.build_image, IMAGE, 242_048),
    (clip.build_text, clip.TEXT_SD21, 340_387_840),
    (clip.build_text, dataclasses.replace(clip.TEXT_SD21, layers=24), 352_984_064),
])
def test_the_towers_have_as_many_parameters_as_published(build, config, parameters):
  assert count(build(config)) == parameters


def test_full_size_outputs():
  tower = clip.build_image(clip.IMAGE_VIT_H)
  frames = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.bfloat16)
  out = jax.eval_shape(tower.apply, tower.shapes, frames)
  assert (out.shape, out.dtype) == ((2, 1024), jnp.bfloat16)
  tower = clip.build_text(clip.TEXT_SD21)
  states, pooled = jax.eval_shape(
      tower.apply, tower.shapes, jax.ShapeDtypeStruct((2, 77), jnp.int32))
  assert (states.shape, pooled.shape) == ((2, 77, 1024), (2, 1024))


def test_layers_are_stacked_under_their_hugging_face_names():
  shapes = clip.build_image(IMAGE).shapes
  assert shapes['vision_model/encoder/layers/self_attn/q_proj/kernel'].shape == (4, 64, 64)
  assert shapes['vision_model/embeddings/patch_embedding/kernel'].shape == (14, 14, 3, 64)
  assert 'visual_projection/bias' not in shapes


def test_a_states_gradient_is_zero_for_later_tokens(text):
  apply, params = text
  name = 'text_model/embeddings/position_embedding/embedding'
  # One channel: the sum over a normalised state is 0 whatever the tokens.
  states = lambda table: apply(params | {name: table}, captions(8, 8, 8))[0][0, :, 0]
  influence = jnp.abs(jax.jacrev(states)(params[name])).sum(-1)  # state, position
  np.testing.assert_array_equal(influence > 0, np.tril(np.ones_like(influence, bool)))


def test_a_caption_is_pooled_at_its_end_token(text):
  apply, params = text
  tokens = captions(3, 8, 0)
  states, pooled = apply(params, tokens)
  at_end = states[jnp.arange(3), jnp.array([3, 8, 0])]
  np.testing.assert_allclose(pooled, at_end @ params['text_projection/kernel'], atol=1e-5)


def test_padding_does_not_reach_the_pooled_caption(text):
  apply, params = text
  tokens = captions(3, 3, 3)
  np.testing.assert_array_equal(
      apply(params, tokens)[1], apply(params, tokens.at[:, 4:].set(7))[1])


def test_without_a_projection_the_end_state_is_returned_as_it_is():
  tower = clip.build_text(dataclasses.replace(TEXT, projection=None))
  states, pooled = jax.jit(tower.apply)(tower.init(jax.random.key(0)), captions(3))
  np.testing.assert_array_equal(pooled, states[:, 3])


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(3)))
def test_examples_of_a_batch_do_not_see_each_other(image, text, order):
  order = jnp.array(order)
  for (apply, params), x in ((image, pictures(3)), (text, captions(2, 5, 8))):
    straight, permuted = apply(params, x), apply(params, x[order])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[order], b, atol=1e-5),
                 straight, permuted)


def shuffle_patches(images, seed):
  p, n = IMAGE.patch, IMAGE.size // IMAGE.patch
  x = images.reshape(-1, n, p, n, p, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, n * n, p, p, 3)
  x = x[:, np.random.default_rng(seed).permutation(n * n)]
  return x.reshape(-1, n, n, p, p, 3).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)


def test_only_positions_tell_patches_apart(image):
  apply, params = image
  images, nowhere = pictures(3), params | {POSITIONS: jnp.zeros_like(params[POSITIONS])}
  shuffled = shuffle_patches(images, seed=0)
  np.testing.assert_allclose(apply(nowhere, images), apply(nowhere, shuffled), atol=1e-5)
  assert jnp.abs(apply(params, images) - apply(params, shuffled)).max() > 1e-2


def test_images_in_bfloat16_give_bfloat16_close_to_fp32(image):
  apply, params = image
  low = apply(params, pictures(3).astype(jnp.bfloat16))
  assert low.dtype == jnp.bfloat16
  np.testing.assert_allclose(low.astype(jnp.float32), apply(params, pictures(3)), atol=0.1)


def test_the_caller_chooses_the_dtype_of_text(text):
  apply, params = text
  tower = clip.build_text(TEXT)
  low, _ = jax.jit(lambda p, x: tower.apply(p, x, dtype=jnp.bfloat16))(params, captions(4, 4, 4))
  assert low.dtype == jnp.bfloat16
  np.testing.assert_allclose(low.astype(jnp.float32), apply(params, captions(4, 4, 4))[0], atol=0.1)


def test_an_image_of_another_size_is_not_accepted(image):
  apply, params = image
  with pytest.raises(TypeError):
    apply(params, jnp.zeros((1, 70, 70, 3)))


def test_the_gelu_of_openai_s_clip():
  x = np.linspace(-6, 6, 101, dtype=np.float32)
  np.testing.assert_allclose(clip_layers.quick_gelu(jnp.asarray(x)), x / (1 + np.exp(-1.702 * x)),
                             atol=1e-6)
  low = clip_layers.quick_gelu(jnp.asarray(x, jnp.bfloat16))
  assert low.dtype == jnp.bfloat16


@pytest.mark.parametrize('build, config', [(clip.build_image, IMAGE), (clip.build_text, TEXT)])
def test_an_unknown_activation_is_refused(build, config):
  with pytest.raises(BadInput, match='CLIP act="relu" is unknown: use one of gelu, quick_gelu'):
    build(dataclasses.replace(config, act='relu'))


@pytest.mark.parametrize('build, config', [
    (clip.build_image, dataclasses.replace(IMAGE, heads=5)),
    (clip.build_image, dataclasses.replace(IMAGE, patch=15)),
    (clip.build_text, dataclasses.replace(TEXT, heads=5)),
])
def test_sizes_that_do_not_divide_are_refused(build, config):
  with pytest.raises(BadInput, match='is not a multiple of'):
    build(config)


def test_fresh_towers_learn_pairs_in_a_few_steps(image, text):
  images, tokens = pictures(8), captions(*range(1, 9))
  unit = lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)

  def loss(params):
    scores = 10 * unit(image[0](params[0], images)) @ unit(text[0](params[1], tokens)[1]).T
    rows, columns = jax.nn.log_softmax(scores, axis=1), jax.nn.log_softmax(scores, axis=0)
    return -(jnp.diag(rows) + jnp.diag(columns)).mean() / 2

  @jax.jit
  def descend(params):
    value, slope = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), value

  params, losses = (image[1], text[1]), []
  for _ in range(30):
    params, value = descend(params)
    losses.append(value)
  assert losses[0] > 1.5 and losses[-1] < 0.1
