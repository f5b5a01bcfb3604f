"""Storage that fails: tried again, and if it stays so the source is left for the next run."""

import errno
import io
import os
import shutil

import pytest

from data.curation import ledger, source as sources, storage
from data.curation.manifest import Source
from data.curation.settings import Settings
from data.toyworld import film, reel
from svdjax.inputs import container


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
  monkeypatch.setattr(storage, 'PAUSES', (0.0,) * 4)


@pytest.fixture
def flaky(monkeypatch):
  """flaky(n): the next n reads of a video beyond its first kilobyte fail."""
  left = [0]

  class File(io.FileIO):

    def read(self, size=-1):
      if left[0] and self.tell() > 1000:
        left[0] -= 1
        raise OSError(errno.EIO, os.strerror(errno.EIO))
      return super().read(size)

  monkeypatch.setattr(container, 'open', lambda path, mode: File(path, mode), raising=False)

  def fail(count):
    left[0] = count
    return left

  return fail


@pytest.fixture
def video(tmp_path):
  made = reel.make([reel.Shot('pan', 2.2, k) for k in range(2)], 72, 96, 12)
  film.write(tmp_path / 'video.mp4', made.frames, 12, options={'crf': '1'})
  return Source('video.mp4', str(tmp_path / 'video.mp4'))


@pytest.mark.parametrize('reads', [1, 3, 4])
def test_reads_that_fail_now_and_then_cost_nothing(reads, video, flaky, curated, tmp_path):
  smooth = curated(video.path)
  shutil.rmtree(tmp_path / 'curated' / 'ledger')
  left = flaky(reads)
  bumpy = curated(video.path)
  assert not left[0]
  assert bumpy.clips == smooth.clips and len(bumpy.clips) == 2 and not bumpy.failures


def test_reads_that_go_on_failing_leave_the_source_for_the_next_run(video, flaky, tmp_path):
  settings = Settings()
  places = ledger.Places(tmp_path / 'out', settings.digest())
  flaky(1000)
  row = sources.curate(places, settings, (video, 'ab'))
  [failure] = row['failures']
  assert (failure['code'], failure['attempt'], failure['errno']) == ('IO', 5, errno.EIO)
  assert failure['retryable'] and not row['clips']
  assert ledger.read(places.source('ab')) is None
  flaky(0)
  assert len(sources.curate(places, settings, (video, 'ab'))['clips']) == 2


@pytest.mark.parametrize('code, attempts', [(errno.EIO, 5), (errno.ENOSPC, 1), (errno.ENOENT, 1)])
def test_what_no_patience_mends_is_tried_once(code, attempts):
  calls = []

  def work():
    calls.append(code)
    raise OSError(code, os.strerror(code))

  with pytest.raises(OSError):
    storage.persistently(work)
  assert len(calls) == attempts


def test_a_file_that_cannot_be_read_is_io(tmp_path):
  (tmp_path / 'kernel.mp4').symlink_to('/proc/self/mem')  # reading it fails at its first byte
  row = sources.identify(ledger.Places(tmp_path / 'out', ''),
                         Source('kernel.mp4', str(tmp_path / 'kernel.mp4')))
  assert row['failure']['code'] == 'IO' and not row['source_id']
