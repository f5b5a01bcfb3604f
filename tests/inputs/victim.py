"""A process that reads each video of a folder in every way that users' footage is read.

    python tests/inputs/victim.py FOLDER WORK ADDRESS

Prints one line of JSON for each: what became of it, seconds that the slowest way took (less those in
which it waited for a core), and how many megabytes more than at first there were at most so far.
"""

import json
import pathlib
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
SOCKETS = []
sys.addaudithook(lambda event, _: SOCKETS.append(event) if event.startswith('socket.') else None)

from data import ingest
from data.curation import source as sources
from data.curation.ledger import Places
from data.curation.manifest import Source
from data.curation.settings import Settings
from svdjax.inputs import video

FRAMES = 14  # that a training clip has


def memory(field):
  """MB, VmRSS or VmHWM (the most so far) of this process."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(status.partition(field + ':')[2].split()[0]) / 1024


def clock():
  """Seconds of this thread, running or asleep, but not those in which it waits for a core."""
  waited = pathlib.Path('/proc/thread-self/schedstat').read_text().split()[1]
  return time.monotonic() - int(waited) / 1e9


def probed(path, _):
  """[width, height, frames], or the reason why not."""
  info = video.probe(path)
  return [info.width, info.height, info.num_frames]


def decoded(path, _):
  """The shape of as many frames as a training clip has."""
  info = video.probe(path)
  return video.decode(path, range(min(FRAMES, info.num_frames))).shape


def sharded(path, work):
  """What data.shard makes of it: number of clips, and reasons."""
  found = ingest.ingest(path.parent, path.name, work, 30.)
  return len(found.clips), [reason for reason, _ in found.skipped]


def curated(path, work):
  """What data.curate makes of it: number of clips, and codes."""
  settings = Settings(reencode=True)
  places, source = Places(work, settings.digest()), Source(path.name, str(path))
  known = sources.identify(places, source)
  if known['failure']:
    return 0, [known['failure']['code']]
  row = sources.curate(places, settings, (source, known['source_id']))
  return len(row['clips']), [f['code'] for f in row['failures']]


def call(way, path, work):
  """What a way of reading returns, or the reason of a VideoError; any other error ends all."""
  try:
    return way(path, work)
  except video.VideoError as error:
    return error.reason


def main(folder, work, address):
  """Reads all files; last, asks an address, so that who watches can see that they would see."""
  before = memory('VmRSS')
  for path in sorted(pathlib.Path(folder).iterdir()):
    row, seconds = {'file': path.name}, []
    for way in (probed, decoded, sharded, curated):
      began = clock()
      row[way.__name__] = call(way, path, work)
      seconds.append(clock() - began)
    print(json.dumps(row | {'seconds': max(seconds), 'megabytes': memory('VmHWM') - before,
                            'sockets': SOCKETS}), flush=True)
  urllib.request.urlopen(address)
  print(json.dumps({'file': '', 'sockets': SOCKETS}))


if __name__ == '__main__':
  main(*sys.argv[1:])
