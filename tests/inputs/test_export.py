"""Files that come out: mp4, GIF, PNG and film strips."""

import io

import numpy as np
from PIL import Image
import pytest

from svdjax.core.errors import BadInput
from svdjax.inputs import export, video


def gradient(count=6, height=32, width=48):
  """Smooth moving frames, which video coding keeps closely."""
  t, y, x = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing='ij')
  return np.stack([4 * x + 5 * t, 6 * y, 100 + x + y], axis=-1).astype(np.uint8)


@pytest.mark.parametrize('fps', [7, 8.0, 30000 / 1001])
def test_mp4_keeps_pictures_and_rate(tmp_path, fps):
  export.write_mp4(tmp_path / 'x.mp4', gradient(), fps)
  info = video.probe(tmp_path / 'x.mp4')
  assert (info.num_frames, info.height, info.width) == (6, 32, 48)
  assert info.fps == pytest.approx(fps, rel=1e-3)
  decoded = video.decode(tmp_path / 'x.mp4')
  assert np.abs(decoded.astype(int) - gradient()).mean() < 3


def test_odd_sizes_gain_a_repeated_edge(tmp_path):
  frames = gradient(height=31, width=47)
  export.write_mp4(tmp_path / 'x.mp4', frames, 8)
  decoded = video.decode(tmp_path / 'x.mp4')
  assert decoded.shape == (6, 32, 48, 3)
  assert np.abs(decoded[:, :31, :47].astype(int) - frames).mean() < 3


def test_metadata_comes_back(tmp_path):
  metadata = {'prompt': 'ein roter Würfel; x=1\nzwei', 'seed': '3'}
  export.write_mp4(tmp_path / 'x.mp4', gradient(), 8, metadata)
  stored = export.read_metadata(tmp_path / 'x.mp4')
  assert {name: stored[name] for name in metadata} == metadata


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
  def half(path):
    path.write_bytes(b'half')
    raise OSError('disk full')

  (tmp_path / 'x.mp4').write_bytes(b'old')
  with pytest.raises(OSError, match='disk full'):
    export._replace(tmp_path / 'x.mp4', half)  # pylint: disable=protected-access
  assert (tmp_path / 'x.mp4').read_bytes() == b'old'
  assert [p.name for p in tmp_path.iterdir()] == ['x.mp4']


def test_check_writable_makes_the_folder_but_no_file(tmp_path):
  export.check_writable(tmp_path / 'new' / 'x.mp4')
  assert list((tmp_path / 'new').iterdir()) == []


def test_places_that_cannot_be_written_are_refused(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(BadInput, match='cannot be written'):
    export.check_writable(tmp_path / 'file' / 'x.mp4')
  with pytest.raises(BadInput, match='is a folder'):
    export.write_gif(tmp_path, gradient(), 8)


def test_gif_loops_all_frames_for_the_right_time(tmp_path):
  export.write_gif(tmp_path / 'x.gif', gradient(12), 8)
  assert (tmp_path / 'x.gif').read_bytes() == export.encode_gif(gradient(12), 8)
  with Image.open(io.BytesIO(export.encode_gif(gradient(12), 8))) as gif:
    durations = []
    for i in range(gif.n_frames):
      gif.seek(i)
      durations.append(gif.info['duration'])
    assert gif.n_frames == 12 and gif.info['loop'] == 0
  assert sum(durations) == 1500


def test_png_is_exact(tmp_path):
  export.write_png(tmp_path / 'x.png', gradient()[0])
  np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'x.png')), gradient()[0])


def test_film_strip_is_rows_of_clips_and_columns_of_time():
  clips = [gradient(9), 255 - gradient(5)]
  strip = export.film_strip(clips, frames=3, scale=2)
  assert strip.shape == (2 * 64, 3 * 96, 3)
  np.testing.assert_array_equal(strip[:64:2, 96:192:2], clips[0][4])
  np.testing.assert_array_equal(strip[65::2, 193::2], clips[1][4])


def test_film_strip_shows_no_frame_twice():
  assert export.film_strip([gradient()[:3]], frames=8, scale=1).shape[1] == 3 * gradient().shape[2]


def test_film_strip_enlarges_small_clips_and_writes_labels():
  strip = export.film_strip([gradient()], labels=['steps 100'], frames=4)
  label, picture = strip[:-64], strip[-64:]
  assert picture.shape == (64, 4 * 96, 3)
  assert label.min() < 100 and (label == 255).mean() > 0.8
