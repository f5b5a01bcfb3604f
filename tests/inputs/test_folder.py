"""Folders of clips as people have them: found by name, cut to length, resized."""

import numpy as np
from PIL import Image
import pytest

from svdjax.core.errors import BadInput
from svdjax.inputs import export, folder


def ramp(frames, height=16, width=24):
  """Frames whose brightness counts: frame i is 8 i."""
  grey = 8 * np.arange(frames, dtype=np.uint8)
  return np.broadcast_to(grey[:, None, None, None], (frames, height, width, 3))


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
  """A folder with a video of 20 frames at 10 a second, and a folder of 12 frames."""
  path = tmp_path_factory.mktemp('clips')
  export.write_mp4(path / 'class' / 'video.mp4', ramp(20), 10)
  (path / 'object').mkdir()
  for i, frame in enumerate(ramp(12)):
    Image.fromarray(frame).save(path / 'object' / f'{i:03d}.png')
  (path / 'captions.csv').write_text('file,caption\nclass/video.mp4,a ramp\nobject,a "box"\n')
  return path


def counted(clip):
  """The numbers of the frames of a ramp."""
  return np.round(clip.mean((1, 2, 3)) / 8).astype(int).tolist()


def test_clips_are_named_by_their_place(clips):
  assert list(folder.find(clips)) == ['class/video', 'object']
  assert list(folder.find(clips, '*/*.mp4')) == ['class/video']
  assert folder.told(clips, 'caption') == {'class/video': 'a ramp', 'object': 'a "box"'}


@pytest.mark.parametrize('options, expected, rate', [
    ({}, [0, 1, 2, 3], 10), ({'stride': 3}, [0, 3, 6, 9], 10 / 3),
    ({'fps': 5.}, [0, 2, 4, 6], 5), ({'window': 'center'}, [8, 9, 10, 11], 10),
    ({'fps': 5., 'window': 'center'}, [6, 8, 10, 12], 5)])
def test_frames_of_a_video(clips, options, expected, rate):
  clip, fps = folder.read(clips / 'class' / 'video.mp4', 4, **options)
  assert counted(clip) == expected and fps == pytest.approx(rate)


def test_frames_of_a_folder_have_no_rate(clips):
  clip, fps = folder.read(clips / 'object', 4, fps=30., stride=2)
  assert counted(clip) == [0, 2, 4, 6] and np.isnan(fps)


def test_a_random_window_is_one_of_its_seed(clips):
  windows = [counted(folder.read(clips / 'object', 4, window='random', seed=s)[0])
             for s in (0, 0, 1, 2, 3)]
  assert windows[0] == windows[1] and len({tuple(w) for w in windows}) > 1


@pytest.mark.parametrize('name, frames, message', [
    ('object', 13, 'object has 12 frames where 13 are needed'),
    ('class/video.mp4', 21, 'has 20 frames where 21')])
def test_a_clip_that_is_too_short(clips, name, frames, message):
  with pytest.raises(BadInput, match=message):
    folder.read(clips / name, frames)


def test_folders_that_hold_nothing(tmp_path):
  with pytest.raises(BadInput, match='has no clip'):
    folder.find(tmp_path)
  with pytest.raises(BadInput, match='is not a folder'):
    folder.find(tmp_path / 'none')
  (tmp_path / 'captions.csv').write_text('a,b\n1,2\n')
  with pytest.raises(BadInput, match='columns "file" and "caption"'):
    folder.told(tmp_path, 'caption')


def test_resize_then_crop():
  clip = ramp(2)
  assert folder.fit(clip, (32, 40), (20, 30)).shape == (2, 20, 30, 3)
  assert folder.fit(clip) is clip
  with pytest.raises(BadInput, match='crop of 20x30 does not fit frames of 16x24'):
    folder.fit(clip, (), (20, 30))
