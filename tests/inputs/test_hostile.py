"""T14: videos that mean no good are told from those that are only unusual, at little cost."""

import http.server
import importlib.util
import json
import pathlib
import subprocess
import sys
import threading

import pytest

_spec = importlib.util.spec_from_file_location(
    'hostile', pathlib.Path(__file__).with_name('hostile.py'))
hostile = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile)
SECONDS, MEGABYTES = 5., 1024.  # a reading of one file; more than before, over all


class Server(http.server.HTTPServer):
  """Counts who connects; a connection without a request counts too."""
  hits = 0

  def get_request(self):
    self.hits += 1
    return super().get_request()


@pytest.fixture(scope='module')
def found(tmp_path_factory):
  """{file: what a process of its own made of it}; '' after it has asked the server itself."""
  files, work = tmp_path_factory.mktemp('files'), tmp_path_factory.mktemp('work')
  server = Server(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
  address = f'http://127.0.0.1:{server.server_port}'
  threading.Thread(target=server.serve_forever, daemon=True).start()
  hostile.write(files, address)
  victim = pathlib.Path(__file__).with_name('victim.py')
  process = subprocess.Popen([sys.executable, victim, files, work, address], cwd=work, text=True,
                             stdout=subprocess.PIPE)
  rows = {}
  for line in process.stdout:
    row = json.loads(line)
    rows[row['file']] = row | {'hits': server.hits}
  assert process.wait() == 0
  server.shutdown()
  server.server_close()
  return rows


@pytest.mark.parametrize('name', hostile.FILES)
def test_each_is_read_or_has_its_reason(found, name):
  """A crash of the process would leave those after it unread."""
  said, shown = found[name], hostile.FILES[name][1]
  if isinstance(shown, str):
    assert said['probed'] == said['decoded'] == shown and said['sharded'] == [0, [shown]]
  else:
    width, height, frames = shown
    assert said['probed'] == [width, height, frames]
    assert said['decoded'] == [min(frames, 14), height, width, 3]
  for way in ('sharded', 'curated'):
    clips, reasons = said[way]
    assert (clips or reasons) and 'CRASH' not in reasons


def test_none_takes_long(found, record_testsuite_property):
  slowest = max(found[name]['seconds'] for name in hostile.FILES)
  record_testsuite_property('seconds at most', round(slowest, 1))
  assert slowest < SECONDS


def test_none_takes_much_memory(found, record_testsuite_property):
  most = max(found[name]['megabytes'] for name in hostile.FILES)
  record_testsuite_property('MB at most', round(most))
  assert most < MEGABYTES


def test_nobody_on_the_network_is_asked(found, record_testsuite_property):
  """Were it, it would be seen, as what the process asks at last is."""
  hits, asked = max(found[name]['hits'] for name in hostile.FILES), found['']
  record_testsuite_property('connections', hits)
  assert hits == 0 and not any(found[name]['sockets'] for name in hostile.FILES)
  assert asked['hits'] == 1 and asked['sockets']
