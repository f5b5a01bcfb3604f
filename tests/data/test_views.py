"""Folders of rendered views and of casual frames become records that multi-view stages train on."""

import json

import numpy as np
from PIL import Image
import pytest

from data import pose, views
from svdjax.core.errors import BadInput
from svdjax.inputs import pipeline, record, video


def matrix(azimuth, elevation, distance=2.):
  """Camera to world [4 4] of a camera at `distance` that looks along its -z at the origin."""
  a, e = np.radians(azimuth), np.radians(elevation)
  place = distance * np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
  back = place / distance
  right = np.cross([0, 0, 1], back) / np.linalg.norm(np.cross([0, 0, 1], back))
  result = np.eye(4)
  result[:3] = np.stack([right, np.cross(back, right), back, place], axis=1)
  return result


def write_views(folder, azimuths, elevation=20., poses='json', size=(24, 24)):
  """Pictures whose red tells the azimuth, transparent at the left, with poses."""
  folder.mkdir(parents=True)
  frames = []
  for i, azimuth in enumerate(azimuths):
    pixels = np.full((size[1], size[0], 4), 255, np.uint8)
    pixels[..., 0], pixels[..., 1:3], pixels[:, :4, 3] = azimuth * 255 / 360, 60, 0
    Image.fromarray(pixels).save(folder / f'{i:03d}.png')
    tilt = elevation[i] if np.ndim(elevation) else elevation
    c2w = matrix(azimuth, tilt)
    frames.append({'file_path': f'./{i:03d}', 'transform_matrix': c2w.tolist()})
    if poses == 'npy':
      np.save(folder / f'{i:03d}.npy', np.linalg.inv(c2w)[:3])
  if poses == 'json':
    (folder / 'transforms.json').write_text(json.dumps({'frames': frames}))


def entries(folder, split='train'):
  source = pipeline.records(folder, split)
  return [record.decode(source[i]) for i in range(len(source))]


@pytest.mark.parametrize('poses', ['json', 'npy'])
def test_an_orbit_is_sorted_by_azimuth_and_knows_its_elevation(tmp_path, poses):
  azimuths = np.array([90, 0, 270, 180, 45, 315, 135, 225]) + 10
  write_views(tmp_path / 'in' / 'cup', azimuths, elevation=-5., poses=poses)
  views.main(['--input', str(tmp_path / 'in'), '--output', str(tmp_path / 'out')])
  entry, = entries(tmp_path / 'out')
  truth = json.loads(entry['truth'])
  assert truth['elevation'] == pytest.approx(-5.)
  np.testing.assert_allclose(truth['azimuth'], 10 + 45 * np.arange(8), atol=1e-3)
  frames = video.decode(entry['video'])
  assert (entry['num_frames'], entry['source_uri']) == (8, 'cup') and frames.shape == (8, 24, 24, 3)
  np.testing.assert_allclose(frames[:, 12, 16, 0], np.sort(azimuths) * 255 / 360, atol=8)
  assert frames[:, 12, :3].min() > 230  # white where the render is transparent


def test_frames_without_pose_keep_their_order_and_lie_down(tmp_path):
  write_views(tmp_path / 'in' / '7' / 'a1' / 'images', [0, 200, 100], poses='', size=(16, 24))
  views.main(['--input', str(tmp_path / 'in'), '--output', str(tmp_path / 'out')])
  entry, = entries(tmp_path / 'out')
  assert entry['truth'] == '' and (entry['height'], entry['width']) == (16, 24)
  reds = video.decode(entry['video'])[:, 4, 12, 0]
  np.testing.assert_allclose(reds, [0, 142, 71], atol=8)


def test_what_is_no_orbit_is_named_and_the_rest_goes_on(tmp_path, capsys):
  write_views(tmp_path / 'in' / 'good', [0, 90, 180, 270])
  write_views(tmp_path / 'in' / 'tilted', [0, 90, 180, 270], elevation=[0, 10, 20, 30])
  write_views(tmp_path / 'in' / 'half', [0, 60, 120, 180])
  write_views(tmp_path / 'in' / 'lacking', [0, 90, 180, 270], poses='npy')
  (tmp_path / 'in' / 'lacking' / '002.npy').unlink()
  write_views(tmp_path / 'in' / 'damaged', [0, 180])
  (tmp_path / 'in' / 'damaged' / '001.png').write_bytes(b'no picture')
  views.main(['--input', str(tmp_path / 'in'), '--output', str(tmp_path / 'out')])
  assert '1 objects, 1 of them orbits with pose, of 5 folders' in capsys.readouterr().out
  assert 'Zero-1-to-3' not in views.__doc__ and 'Only orbits are read' in views.__doc__
  lines = (tmp_path / 'out' / 'skipped.jsonl').read_text().splitlines()
  told = {row['object']: row['message'] for row in map(json.loads, lines)}
  assert 'elevations from 0.0 to 30.0' in told['tilted'] and 'apart' in told['half']
  assert '002.npy' in told['lacking'] and 'cannot be read as an image' in told['damaged']
  assert not list((tmp_path / 'out').glob('.staging*'))
  with pytest.raises(BadInput, match='holds shards already'):
    views.main(['--input', str(tmp_path / 'in'), '--output', str(tmp_path / 'out')])


def test_folders_without_objects_are_refused(tmp_path):
  for folder, message in ((tmp_path / 'none', 'is not a folder'), (tmp_path, 'holds no folder')):
    with pytest.raises(BadInput, match=message):
      views.main(['--input', str(folder), '--output', str(tmp_path / 'out')])


def test_the_toy_turntable_turns_the_way_a_growing_azimuth_does():
  """A camera whose azimuth grows goes to its own right in both, so shards may be mixed."""
  from data.toyworld import turntable
  front = np.array([[0., 0., 1.]])  # the point that faces the camera at azimuth 0
  assert turntable.view(front, 10, 0)[0, 0] < 0  # it moves left as the camera goes right
  first, second = matrix(0, 0), matrix(10, 0)
  assert (second[:3, 3] - first[:3, 3]) @ first[:3, 0] > 0
  elevation, azimuth = pose.angles(np.stack([first[:3, 3], second[:3, 3]]))
  np.testing.assert_allclose([*elevation, *azimuth], [0, 0, 0, 10], atol=1e-9)
