"""The local web page of pairs: videos side by side, answered by the arrow keys."""

import functools
import http
import http.server
import json
import pathlib
import re
import tempfile
import urllib.parse

import numpy as np

from data.preference import tasks as tasks_lib
from svdjax.inputs import export

_HTML = pathlib.Path(__file__).with_name('page.html')
_MAX_BODY = 10_000


class Session:
  """What the page asks and where the answers go.

  Args:
    videos: {model: {prompt_id: path}}.
    prompts: {prompt_id: text}.
    votes: votes.Votes.
    seed: of orders and sides.
    ties: whether "no difference" may be answered.
  """

  def __init__(self, videos, prompts, votes, seed, ties):
    self.videos, self.prompts, self.votes = videos, prompts, votes
    self.seed, self.ties = seed, ties
    self.plan = functools.cache(lambda rater: tasks_lib.plan(videos, rater, seed))

  def next(self, rater):
    """The rater's next question as JSON values: {'left': n, 'done', 'total', …} or all done."""
    plan, done = self.plan(rater), self.votes.done(rater)
    at = next((i for i, task in enumerate(plan) if task.key() not in done), None)
    state = {'done': len(done), 'total': len(plan), 'task': at, 'ties': self.ties}
    if at is None:
      return state
    task = plan[at]
    return state | {'axis': task.axis, 'prompt': self.prompts.get(task.prompt_id, task.prompt_id)}

  def answer(self, rater, number, side, ms):
    """Stores an answer: side 'left', 'right' or 'tie'.

    Raises:
      ValueError: no such question or answer.
    """
    plan = self.plan(rater)
    if not (isinstance(number, int) and 0 <= number < len(plan)) or side not in (
        'left', 'right') + ('tie',) * self.ties or not isinstance(ms, (int, float)):
      raise ValueError('no such question or answer')
    task = plan[number]
    winner = 'tie' if side == 'tie' else 'a' if side == task.side else 'b'
    self.votes.add(task, self.seed, rater, winner, round(ms))

  def video(self, rater, number, side):
    """Bytes of the video on one side of a question."""
    task = self.plan(rater)[number]
    model = task.model_a if side == task.side else task.model_b
    if model.startswith(tasks_lib.NOISE):
      return _noise()
    return self.videos[model][task.prompt_id].read_bytes()


@functools.cache
def _noise():
  frames = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3), np.uint8)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'noise.mp4')
    export.write_mp4(path, frames, 6)
    return path.read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
  """Answers the page's requests."""

  def __init__(self, session, *args):
    self.session = session
    super().__init__(*args)

  def do_GET(self):  # pylint: disable=invalid-name
    """The page, the next question, a video."""
    url = urllib.parse.urlsplit(self.path)
    asked = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
    try:
      if url.path == '/':
        self._reply(_HTML.read_bytes(), 'text/html; charset=utf-8')
      elif url.path == '/next':
        self._reply(json.dumps(self.session.next(asked['rater'])).encode(), 'application/json')
      elif url.path == '/video':
        self._video(self.session.video(asked['rater'], int(asked['task']), asked['side']))
      else:
        self.send_error(http.HTTPStatus.NOT_FOUND)
    except (KeyError, ValueError, IndexError):
      self.send_error(http.HTTPStatus.BAD_REQUEST)

  def do_POST(self):  # pylint: disable=invalid-name
    """An answer; JSON alone, which no foreign page may send."""
    length = int(self.headers.get('Content-Length') or 0)
    if self.path != '/vote' or length > _MAX_BODY or (
        self.headers.get('Content-Type') != 'application/json'):
      self.send_error(http.HTTPStatus.BAD_REQUEST)
      return
    try:
      given = json.loads(self.rfile.read(length))
      self.session.answer(str(given['rater']), given['task'], given['side'], given['ms'])
    except (KeyError, TypeError, ValueError):
      self.send_error(http.HTTPStatus.BAD_REQUEST)
      return
    self._reply(b'{}', 'application/json')

  def _video(self, data):
    wanted = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range') or '')
    if not wanted or int(wanted[1]) >= len(data):
      self._reply(data, 'video/mp4')
      return
    first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    self._reply(data[first:last + 1], 'video/mp4', http.HTTPStatus.PARTIAL_CONTENT,
                {'Content-Range': f'bytes {first}-{last}/{len(data)}'})

  def _reply(self, data, kind, status=http.HTTPStatus.OK, headers=None):
    self.send_response(status)
    for name, value in ({'Content-Type': kind, 'Content-Length': str(len(data)),
                         'Accept-Ranges': 'bytes', 'Cache-Control': 'no-store'}
                        | (headers or {})).items():
      self.send_header(name, value)
    self.end_headers()
    self.wfile.write(data)

  def log_message(self, *_):  # pylint: disable=arguments-differ
    """Says nothing: the page shows progress."""


def make_server(session, port):
  """A server on this machine alone; port 0 picks a free one."""
  return http.server.ThreadingHTTPServer(('127.0.0.1', port), functools.partial(Handler, session))
