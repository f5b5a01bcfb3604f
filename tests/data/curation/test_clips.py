"""What becomes of single clips where something is wrong with the file, or no shots are wanted."""

import dataclasses

import numpy as np
import pytest

from data import cut
from data.curation import ledger, source as sources
from data.curation.manifest import Source
from data.curation.settings import Settings
from data.toyworld import film, reel
from svdjax.inputs import container, video

FPS = 24


@pytest.fixture
def three(tmp_path):
  """Three pans of 2.5 s, a keyframe every quarter of a second, frames in the order shown."""
  made = reel.make([reel.Shot('pan', 2.5, k, 0.1) for k in range(3)], 72, 96, FPS)
  film.write(tmp_path / 'three.mp4', made.frames, FPS, options={'g': '6', 'bf': '0', 'crf': '15'})
  return tmp_path / 'three.mp4'


def packets(path):
  with container.open_video(path) as (file, stream):
    return [(p.pos, p.size, p.is_keyframe) for p in file.demux(stream) if p.size]


def test_a_damaged_clip_is_dropped_and_its_neighbours_stay(three, curated):
  found = packets(three)
  place, size, is_keyframe = next(p for p, after in zip(found[80:], found[81:]) if after[2])
  assert not is_keyframe  # what is damaged is that frame alone: a keyframe follows
  data = bytearray(three.read_bytes())
  data[place + size // 3:place + size] = bytes(0xff for _ in range(size - size // 3))
  three.write_bytes(data)
  row = curated(three)
  assert [round(c['t_start'], 1) for c in row.clips] == [0.0, 5.0]
  [failure] = row.failures
  assert (failure['code'], failure['stage']) == ('CORRUPT', 'clip')
  assert 'at 2.50 s' in failure['message'] and failure['source_id'] == row.source_id


@pytest.mark.parametrize('reencode', [False, True])
def test_a_clip_that_never_comes_is_told(reencode, three, analysed, tmp_path):
  """Where the file has no keyframe at the time it was said to have one."""
  facts, times, found = analysed(three)
  keyframes = times.keyframes.copy()
  second = (keyframes >= times.pts[60]) & (keyframes < times.pts[120])
  keyframes[second] = times.pts[np.flatnonzero(np.isin(times.pts, keyframes[second])) + 1]
  settings = Settings(reencode=reencode)
  # pylint: disable-next=protected-access
  made = sources._Maker(ledger.Places(tmp_path, ''), settings, Source('three.mp4', str(three)),
                        'ab', facts, dataclasses.replace(times, keyframes=keyframes), found).make()
  starts = [round(c['t_start'], 1) for c in made.fields]
  if reencode:
    assert starts == [0.0, 2.5, 5.0] and not made.failures
  else:
    assert starts == [0.0, 5.0]
    [failure] = made.failures
    assert failure['code'] == 'CORRUPT' and 'packets cannot be read' in failure['message']


def test_a_span_without_its_start_does_not_hide_the_next(three):
  info = container.probe(three)
  with container.open_video(three) as (file, stream):
    shown = int(stream.start_time or 0) + info.pts
    spans = [(int(shown[1]), int(shown[60])), (int(shown[60]), int(shown[120]))]
    [(pts, mp4)] = cut.copy_spans('three', stream, file.demux(stream), shown, spans)
  assert pts[0] == spans[1][0] and len(video.decode(mp4)) == len(pts) == 60


def test_whole_holds_everything(filmed, shots, curated):
  row = curated(filmed('h264'), whole=True, max_seconds=60.0)
  [clip] = row.clips
  assert clip['num_frames'] == len(shots.frames) and not row.cuts and not row.closed
  assert len(video.decode(row.file(clip))) == len(shots.frames)


def test_whole_is_cut_into_pieces_of_the_longest_length(filmed, shots, curated):
  row = curated(filmed('h264'), whole=True, max_seconds=9.0)
  seconds = [c['t_end'] - c['t_start'] for c in row.clips]
  assert max(seconds) <= 9.01 and len(seconds) <= 4
  assert sum(c['num_frames'] for c in row.clips) == len(shots.frames)
  ends = [c['t_end'] for c in row.clips[:-1]]
  np.testing.assert_allclose(ends, [c['t_start'] for c in row.clips[1:]], atol=1e-3)
