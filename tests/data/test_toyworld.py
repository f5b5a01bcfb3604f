"""The toy world: what is drawn is what is said, and the test split is truly held out."""

import dataclasses
import itertools

import cv2
import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest

from data.toyworld import caption
from data.toyworld import clip
from data.toyworld import render
from data.toyworld import scene as scenes
from data.toyworld import split
from data.toyworld import turntable
from data.toyworld import world

ALL = dict.fromkeys(world.KINDS, 1.0)
some = hypothesis.settings(max_examples=15, deadline=None)


def sample_scenes(name, kinds=ALL, n=200):
  return [scenes.sample(0, name, i, dict.fromkeys(kinds, 1.0)) for i in range(n)]


@some
@hypothesis.given(seed=st.integers(0, 2**31), index=st.integers(0, 10**6))
def test_a_clip_is_a_pure_function_of_seed_split_and_index(seed, index):
  one, same = (scenes.sample(seed, 'train', index, ALL) for _ in range(2))
  assert one == same and caption.captions(one) == caption.captions(same)
  np.testing.assert_array_equal(render.render(one, 24, 32, 3), render.render(same, 24, 32, 3))
  assert one != scenes.sample(seed, 'train', index + 1, ALL)
  assert one != scenes.sample(seed + 1, 'train', index, ALL)


@some
@hypothesis.given(index=st.integers(0, 10**6), kind=st.sampled_from(['object', 'camera']))
def test_the_true_track_is_the_centroid_of_what_is_drawn(index, kind):
  scene = scenes.sample(0, 'train', index, {kind: 1})
  alpha, _ = render.masks_and_frames(scene, 96, 128, 5)
  y, x = np.indices(alpha.shape[1:])
  for mask, centre in zip(alpha, clip.truth(scene, 5, 8)['track']):
    if max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) > 0:
      continue
    drawn = np.array([(mask * (x + 0.5)).sum() / 128, (mask * (y + 0.5)).sum() / 96]) / mask.sum()
    np.testing.assert_allclose(drawn, centre, atol=0.004)


def test_any_direction_could_follow_from_any_start():
  for scene in sample_scenes('train', ['object', 'pointer']):
    for direction in world.DIRECTIONS:
      track, _, _ = render.trajectory(dataclasses.replace(scene, direction=direction), 20)
      assert 0.049 < track.min() and track.max() < 0.951


def test_a_pointer_points_where_it_goes():
  tip = world.outlines()[world.POINTER][3]
  for scene in sample_scenes('train', ['pointer'], 40):
    c, s = np.cos(np.radians(scene.angle)), np.sin(np.radians(scene.angle))
    turned = np.array([[c, -s], [s, c]]) @ tip
    np.testing.assert_allclose(turned / np.linalg.norm(turned), world.DIRECTIONS[scene.direction],
                               atol=1e-6)


def test_a_first_frame_does_not_tell_a_steady_camera_from_one_that_moves():
  for scene in sample_scenes('train', ['steady'], 10):
    assert scene.move == 'none'
    moves = dataclasses.replace(scene, kind='camera', move='left', direction='none', travel=0.25)
    steady, moving = (render.render(s, 48, 64, 2) for s in (scene, moves))
    np.testing.assert_array_equal(steady[0], moving[0])
    assert np.abs(np.float32(steady[1]) - moving[1])[0].max() > 10  # the ground's top row


@pytest.mark.parametrize('move', world.DIRECTIONS)
def test_a_panning_camera_moves_ground_and_object_together(move):
  scene = dataclasses.replace(scenes.sample(0, 'train', 0, {'camera': 1}), move=move, travel=0.25,
                              start=(0.5, 0.5))
  _, video = render.masks_and_frames(scene, 48, 64, 2)
  dx, dy = np.array(world.DIRECTIONS[move]) * (16, 12)
  shifted = np.roll(video[0], (-dy, -dx), axis=(0, 1))
  inner = np.s_[14:-14, 18:-18]
  assert np.abs(shifted[inner].astype(int) - video[1][inner]).max() <= 2
  truth = clip.truth(scene, 2, 8)
  assert truth['direction'] == 'none' and truth['camera']['move'] == move
  np.testing.assert_allclose(truth['velocity'], -np.array(truth['camera']['velocity']), atol=1e-4)


def test_a_zooming_camera_grows_the_object_as_fast_as_it_says():
  scene = dataclasses.replace(scenes.sample(0, 'train', 0, {'camera': 1}), move='in', travel=0.2,
                              start=(0.5, 0.5))
  alpha, _ = render.masks_and_frames(scene, 96, 128, 9)
  zoom = clip.truth(scene, 9, 8)['camera']['zoom']  # the clip lasts one second
  np.testing.assert_allclose(alpha[-1].sum() / alpha[0].sum(), zoom**2, rtol=0.03)
  assert zoom > 1.2


def test_a_still_camera_keeps_the_ground_still():
  scene = scenes.sample(0, 'train', 1, {'object': 1})
  alpha, video = render.masks_and_frames(scene, 48, 64, 6)
  far = cv2.dilate(alpha.max(axis=0), np.ones((25, 25))) == 0  # from the object and its shadow
  assert far.any() and (video[:, far] == video[0, far]).all()


def test_a_turntable_goes_once_around():
  angles = turntable.azimuths(300.0, 8)
  np.testing.assert_allclose(np.diff(angles) % 360, 45)
  np.testing.assert_allclose((angles[-1] + 45) % 360, 300)


def test_the_camera_at_an_azimuth_sees_that_side_nearest():
  sides = np.array([[np.sin(a), 0, np.cos(a)] for a in np.radians([0, 90, 180, 270])])
  for i, azimuth in enumerate([0, 90, 180, 270]):
    assert turntable.view(sides, azimuth, 20.0)[:, 2].argmax() == i


@pytest.mark.parametrize('name', world.SOLIDS)
def test_a_solid_is_convex_and_its_faces_look_outward(name):
  corners, faces = turntable.solid(name)
  for _, numbers in faces:
    a, b, c = corners[list(numbers[:3])]
    assert ((corners - a) @ np.cross(b - a, c - a) < 1e-9).all()


def test_the_first_view_of_a_solid_shows_both_colours():
  for scene in sample_scenes('train', ['turntable'], 20):
    plain = dataclasses.replace(scene, color='red', second_color='blue')
    first = render.render(plain, 48, 64, 4)[0].astype(int)
    assert ((first[..., 0] - first[..., 2]) > 60).sum() > 20
    assert ((first[..., 2] - first[..., 0]) > 60).sum() > 20


def combinations():
  return list(itertools.product(
      world.SHAPES, world.COLORS, world.BACKGROUNDS, [*world.DIRECTIONS, 'none']))


def test_about_an_eighth_of_the_combinations_is_held_out():
  assert 0.1 < np.mean([split.held_out(*c) for c in combinations()]) < 0.15


def test_any_three_of_object_colour_background_and_motion_are_trained_together():
  trained = [c for c in combinations() if not split.held_out(*c)]
  for left_out in range(4):
    three = lambda c: c[:left_out] + c[left_out + 1:]
    assert {three(c) for c in trained} == {three(c) for c in combinations()}


def test_train_and_test_share_no_combination_but_every_word():
  combination = lambda s: (s.shape, s.color, s.background, s.direction, s.move)
  train, test = (sample_scenes(name, n=1500) for name in world.SPLITS)
  assert not {combination(s) for s in train} & {combination(s) for s in test}
  words = lambda seen: {w for s in seen for text in caption.captions(s) for w in text.split()}
  assert words(test) <= words(train)


def test_captions_say_what_is_seen_what_happens_and_both():
  for scene in sample_scenes('train', ['object', 'pointer', 'steady'], 100):
    image, video, merged = caption.captions(scene)
    assert f'{scene.color} {scene.shape}' in image and scene.background in image
    assert 'mov' not in image and 'spin' not in image
    assert video in merged and scene.background in merged and scene.tint in merged
    if scene.direction != 'none':
      assert scene.direction in video and scene.speed in video
    assert ('spin' in video) == (scene.spin != 0)
    assert merged == merged.lower()


def test_camera_captions_name_the_move_and_the_object():
  for scene in sample_scenes('train', ['camera'], 50):
    _, video, merged = caption.captions(scene)
    assert video.startswith('the camera') and scene.move in video and scene.color in merged
