"""Sampling: what a key, the guidance and the sizes do to a clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax import checkpoint, generate
from svdjax.core.errors import BadInput
from svdjax.tasks import parts as parts_lib

KEY = jax.random.key(0)


@pytest.fixture(scope='module')
def image_model(workdir_of, compiled):
  """make(**settings) -> f(key=KEY, **inputs) -> uint8 [b t h w 3], of a text-to-image model."""
  config, params, _ = checkpoint.load(workdir_of('image_discrete'))
  config.sample.guidance_max = 3.
  parts, context = parts_lib.build(config.model), config.model.clip_text.context
  words = np.random.default_rng(0).integers(0, 700, (4, context)).astype(np.int32)
  inputs = {'tokens': words[:2], 'empty_tokens': np.zeros((2, context), np.int32),
            'fps': np.full(2, 7., np.float32)}

  def make(**settings):
    generator = generate.build(config, parts, generate.settings(config, **settings))
    sample = lambda key=KEY, progress=None, **changes: np.asarray(
        generate.run(generator, params, inputs | changes, key, progress)).astype(int)
    sample.generator, sample.words = generator, words
    return sample

  make.config = config
  return make


@pytest.fixture(scope='module')
def sample(image_model):
  return image_model()


def test_a_key_gives_one_clip_and_another_key_another(sample):
  first = sample()
  assert first.shape == (2, 1, 16, 24, 3) and first.std() > 1
  np.testing.assert_array_equal(sample(), first)
  assert np.abs(sample(jax.random.key(1)) - first).mean() > 1


def test_each_clip_of_a_batch_has_noise_and_caption_of_its_own(sample):
  twice = sample(tokens=np.repeat(sample.words[:1], 2, axis=0))
  assert (twice[0] != twice[1]).any()
  first, changed = sample(), sample(tokens=sample.words[[0, 2]])
  np.testing.assert_allclose(changed[0], first[0], atol=1)
  assert (changed[1] != first[1]).any()


def test_all_steps_are_one_program_and_are_reported(sample):
  seen = []
  sample(progress=seen.append)
  assert seen == [1, 2]
  assert sample.generator.step._cache_size() == 1  # pylint: disable=protected-access


def test_guidance_of_one_is_the_conditional_model(image_model):
  other = {'empty_tokens': np.ones((2, image_model.config.model.clip_text.context), np.int32)}
  plain, guided = (image_model(guidance_max=scale) for scale in (1., 3.))
  np.testing.assert_allclose(plain(**other), plain(), atol=1)
  assert np.abs(guided(**other) - guided()).max() > 1


@pytest.mark.parametrize('name', ['heun', 'dpmpp_2m', 'dpmpp_2m_sde'])
def test_every_sampler_is_one_program(image_model, sample, name):
  other = image_model(sampler=name, steps=3)
  assert (other() != image_model(steps=3)()).any()
  assert other.generator.step._cache_size() == 1  # pylint: disable=protected-access


def test_guidance_outside_its_interval_is_the_conditional_model(image_model):
  never = image_model(guidance_max=3., guidance_interval=(100., 200.))
  always = image_model(guidance_max=3., guidance_interval=(0., 100.))
  np.testing.assert_allclose(never(), image_model(guidance_max=1.)(), atol=1)
  np.testing.assert_allclose(always(), image_model(guidance_max=3.)(), atol=1)


def test_skip_layer_guidance_counts_and_knows_its_layers(image_model, sample):
  assert np.abs(image_model(skip_scale=5.)() - sample()).max() > 1
  with pytest.raises(BadInput, match='skip_layers "x" matches no layer'):
    image_model(skip_scale=5., skip_layers='x')()


def test_sizes_and_frames_may_change(image_model):
  assert image_model(frames=2, height=8, width=32)().shape == (2, 2, 8, 32, 3)


def test_decoding_in_chunks_changes_nothing_for_an_image_decoder(image_model):
  whole, chunks = image_model(frames=3)(), image_model(frames=3, decode_chunk=2)()
  np.testing.assert_allclose(chunks, whole, atol=1)


def test_scales_of_the_frames(image_model):
  scales = lambda **s: generate.scales(generate.settings(
      image_model.config, frames=5, guidance_min=1., guidance_max=3., **s)).tolist()
  assert scales(guidance='constant') == [3.] * 5
  assert scales(guidance='linear') == [1., 1.5, 2., 2.5, 3.]
  assert scales(guidance='triangle') == [1., 2., 3., 2., 1.]


def test_noise_levels_are_those_the_stage_knows(nano):
  for name, top in (('image_discrete', 14.6), ('i2v_14f', 700.)):
    config = nano(name, {'sample.sigma_max': 700.})
    levels = generate.grid(config, generate.settings(config, steps=5))
    assert len(levels) == 6 and levels[-1] == 0
    assert float(levels[0]) == pytest.approx(top, rel=0.01)


@pytest.mark.parametrize('change, message', [
    ({'sampler': 'ddim'}, 'sampler "ddim" is unknown: use one of euler, heun, dpmpp_2m, '),
    ({'guidance': 'cosine'}, 'guidance "cosine" is unknown'),
    ({'schedule': 'linear'}, 'schedule "linear" is unknown: use one of karras, ays'),
    ({'schedule': 'ays'}, 'a model of discrete noise levels'),
    ({'sampler': 'dpmpp_2m', 'churn': 0.1}, 'dpmpp_2m has no churn'),
    ({'guidance_interval': (3., 2.)}, 'guidance_interval 3 to 2 is empty'),
    ({'steps': 0}, 'steps must be at least 1, not 0'),
    ({'frames': -1}, 'frames must be at least 1, not -1'),
    ({'height': 7}, 'height 7 is not a positive multiple of 2 pixels'),
    ({'width': 0}, 'width 0 is not a positive multiple')])
def test_settings_that_cannot_work(image_model, change, message):
  with pytest.raises(BadInput, match=message):
    generate.settings(image_model.config, **change)


def test_aligned_steps_are_a_schedule_of_continuous_levels(nano):
  config = nano('i2v_14f')
  levels = generate.grid(config, generate.settings(config, steps=10, schedule='ays'))
  np.testing.assert_allclose(levels[:3], [700., 54.5, 15.886], rtol=1e-5)


def test_settings_default_to_the_experiment(nano):
  config = nano('i2v_14f', {'sample.steps': 7, 'data.frames': 5})
  chosen = generate.settings(config, steps=None, frames=3)
  assert (chosen.steps, chosen.frames, chosen.guidance) == (7, 3, 'linear')


@pytest.fixture(scope='module')
def video_model(workdir_of, compiled):
  """f(**inputs) -> int [1 t h w 3], of an image-to-video model with everything fixed but inputs."""
  config, params, _ = checkpoint.load(workdir_of('i2v_14f,base'))
  generator = generate.build(config, parts_lib.build(config.model), generate.settings(config))
  image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 24, 3)).astype(np.float32)
  inputs = {'image': image, 'fps': 7., 'motion': 127., 'cond_aug': 0.02}

  def sample(**changes):
    given = {n: jnp.asarray(x, jnp.float32).reshape((1,) if np.ndim(x) == 0 else np.shape(x))
             for n, x in (inputs | changes).items()}
    return np.asarray(generate.run(generator, params, given, KEY)).astype(int)

  sample.image = image
  return sample


def test_image_motion_rate_and_augmentation_all_count(video_model):
  first = video_model()
  assert first.shape == (1, 3, 16, 24, 3)
  for change in ({'image': -video_model.image}, {'motion': 20.}, {'fps': 3.}, {'cond_aug': 1.}):
    assert (video_model(**change) != first).any(), change
