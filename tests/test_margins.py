"""Tasks against their trivial answers."""

import dataclasses
import json
import types

import numpy as np
import pytest

from svdjax import margins, subject as subject_lib
from svdjax.inputs import orbit
from svdjax.metrics import segment, suite


@dataclasses.dataclass
class Subject:
  """What svdjax.evaluate gives, with answers that are known."""
  config: object
  params: dict
  world: object
  answer: object
  seeds: int = 2
  shown: object = None
  generator: object = None
  extractors: suite.Extractors = suite.Extractors()
  samples, show_beside = subject_lib.Subject.samples, subject_lib.Subject.show_beside

  def held_out(self, kinds):
    return {'video': self.answer('truth', None)}, [{'caption': 'a clip'}] * 2

  def sample(self, batch, seed):
    return self.answer('made', self.params)

  def autoencoded(self, video):
    return video // 10 * 10  # as if latents held so much


def ramp(steps):
  """Clips [2 t 12 12 3] whose brightness takes these values."""
  frames = np.array(steps, np.uint8)[None, :, None, None, None]
  return np.broadcast_to(frames, (2, len(steps), 12, 12, 3)).copy()


def test_blending_is_linear():
  np.testing.assert_array_equal(margins.blend(ramp([0, 7, 7, 7, 100])), ramp([0, 25, 50, 75, 100]))


def test_interpolation_is_measured_between_the_given_frames(nano):
  """A model that is right between two frames and wrong at them; blending is 10 levels off."""
  clips = {'truth': ramp([0, 60, 100]), 'made': ramp([50, 59, 50])}
  subject = Subject(nano('interpolation'), {}, None, lambda name, _: clips[name])
  assert margins.of_task(subject.config) is margins.interpolation
  figure, similar = margins.interpolation(subject)
  decibel = lambda error: 20 * np.log10(255 / error)
  assert figure.values == pytest.approx([decibel(1)] * 2)
  assert figure.baselines['linear blending'] == pytest.approx(decibel(10))
  assert figure.baselines['first frame repeated'] == pytest.approx(decibel(60))
  assert figure.baselines['blending, autoencoded'] == pytest.approx(decibel(10))
  assert figure.baselines['truth, autoencoded'] == 100
  assert similar.name == 'SSIM of frames between'
  assert similar.values[0] > similar.baselines['linear blending'] > 0.9
  np.testing.assert_array_equal(subject.shown.beside['linear blending'], ramp([0, 50, 100]))
  assert subject.shown.captions == ['a clip'] * 2


def test_an_object_between_two_frames_is_looked_for_where_it_is(nano, drawn, toy_world):
  """Blending shows an object that moves at both ends, and nowhere between."""
  film = drawn('object', 'none', travel=0.4, start=(0.7, 0.5), spin=0.)
  subject = Subject(nano('interpolation'), {}, toy_world, lambda name, _: np.stack([film] * 2))
  *_, figure = margins.interpolation(subject)
  assert figure.name == 'object where it truly is' and figure.values == pytest.approx([1., 1.])
  assert figure.baselines['linear blending'] < 0.6
  assert figure.baselines['first frame repeated'] < 0.6


def test_networks_that_are_given_measure_the_same_frames(nano):
  """The fake CLIP sees brightness alone: a vector that turns with it."""
  clips = {'truth': ramp([0, 60, 100]), 'made': ramp([99, 60, 0])}
  angle = lambda x: x.mean((1, 2, 3)) / 255
  clip = types.SimpleNamespace(images=lambda x: np.stack([np.cos(angle(x)), np.sin(angle(x))], 1))
  subject = Subject(nano('interpolation'), {}, None, lambda name, _: clips[name],
                    extractors=suite.Extractors(clip=clip))
  *_, figure = margins.interpolation(subject)
  assert figure.name == 'CLIP-S of frames between' and figure.values[0] == pytest.approx(1)
  assert figure.baselines['linear blending'] == pytest.approx(np.cos(10 / 255), abs=1e-6)


def test_views_are_compared_with_the_copied_one(nano):
  clips = {'truth': ramp([10, 20, 20]), 'made': ramp([0, 21, 19])}
  subject = Subject(nano('multiview'), {}, None, lambda name, _: clips[name])
  assert margins.of_task(subject.config) is margins.multiview
  figure, _ = margins.multiview(subject)
  assert figure.values[0] == pytest.approx(20 * np.log10(255))
  assert figure.baselines == {'view copied': pytest.approx(20 * np.log10(25.5)),
                              'view copied, autoencoded': pytest.approx(20 * np.log10(25.5)),
                              'truth, autoencoded': 100.}


@pytest.fixture
def toy_world():
  """What a reader of generated clips knows."""
  from data.toyworld import world
  return segment.make_world(world.describe())


@pytest.fixture
def drawn():
  """drawn(kind, move of the camera, **changes) -> a clip of the toy world, uint8 [6 48 64 3]."""
  from data.toyworld import render, scene

  def draw(kind, move, **changes):
    scenes = (scene.sample(0, 'train', i, {kind: 1.}) for i in range(200))
    found = next(s for s in scenes if s.move == move and (kind == 'camera' or s.direction == 'left'))
    return render.render(dataclasses.replace(found, **changes), 48, 64, 6)

  return draw


def test_a_camera_lora_is_compared_with_itself_without_factors(nano, drawn, toy_world):
  film = lambda *scene: np.stack([drawn(*scene)] * 2)
  moving, still = film('camera', 'left'), film('pointer', 'none')

  def answer(name, params):
    return still if params is not None and (params['lora/a'] == 0).all() else moving

  config = nano('camera_lora,horizontal')
  params = {'lora/a': np.ones(2), 'unet/a': np.ones(2)}
  subject = Subject(config, params, toy_world, answer)
  assert margins.of_task(config) is margins.camera
  figures = margins.camera(subject)
  assert [f.name for f in figures] == [f'camera left, {how}' for how in (
      'by global motion', 'by the ground')]
  for figure in figures:
    assert figure.values == [1., 1.] and figure.baselines == {
        'no LoRA': 0., 'true clips': 1., 'true clips, autoencoded': 1.}
  assert subject.params['lora/a'].all()
  np.testing.assert_array_equal(subject.shown.beside['without LoRA'], still)
  subject.world = None  # real footage, whose ground nobody knows
  assert [f.name for f in margins.camera(subject)] == ['camera left, by global motion']


def test_a_camera_that_cannot_be_read_is_no_static_one(nano, toy_world, drawn):
  """Nor is a model right that makes frames of nothing."""
  noise = np.random.default_rng(0).integers(0, 256, (2, 6, 48, 64, 3)).astype(np.uint8)
  still = np.stack([drawn('pointer', 'none', travel=0.2)] * 2)
  answer = lambda name, params: still if name == 'truth' else noise
  subject = Subject(nano('camera_lora,static'), {'lora/a': np.ones(2)}, toy_world, answer)
  figures = margins.camera(subject)
  assert len(figures) == 2
  for figure in figures:
    assert figure.values == [0., 0.] and figure.baselines['no LoRA'] == 0.
    assert figure.baselines['true clips'] == 1.


def test_the_angles_of_a_turntable_are_compared_with_standing_still():
  from data.toyworld import clip, render, scene, turntable, world
  told = json.dumps(world.describe() | {'models': turntable.models()})
  known = segment.make_world(json.loads(told))
  drawn = scene.sample(0, 'test', 0, {'turntable': 1})
  video, truths = render.render(drawn, 64, 64, 8)[None], [clip.truth(drawn, 8, 8)]
  measured = lambda world, video: margins.angles(
      world, [video], truths, {'view copied': margins.copied(video), 'true views': video})
  for some in (video, video[:, ::2]):
    turn, rise = measured(known, some)
    assert 0 < turn.values[0] < 10 and turn.baselines['view copied'] > 60
    assert 0 < rise.values[0] < 5 and rise.baselines['view copied'] < 10
    assert turn.baselines['chance'] == 90 and rise.baselines['chance'] > 10
    for figure in (turn, rise):
      assert figure.baselines['true views'] == figure.values[0]
    assert rise.baselines['always the middle one'] == 0  # of one clip alone
  assert not measured(None, video)


@pytest.mark.parametrize('count', [3, 5, 8])
def test_true_azimuths_are_those_of_the_views_that_are_held_out(count):
  entry = {'pts': np.arange(8), 'clip_id': 'x', 'truth': json.dumps(
      {'elevation': 10., 'azimuth': [50. + 45 * i for i in range(8)]})}
  chosen, _ = orbit.views(entry, count, True, None)
  truth = json.loads(entry['truth'])
  got, = margins.true_azimuths([truth], count)
  np.testing.assert_array_equal(got, np.array(truth['azimuth'])[chosen])


def test_other_tasks_are_measured_elsewhere(nano):
  assert margins.of_task(nano('i2v_14f')) is None and margins.of_task(nano('t2v_hq')) is None
