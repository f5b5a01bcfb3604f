"""The page of pairs, through its own web server: what it shows, stores and ranks."""

import collections
import functools
import json
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from data.preference import command, page, tasks, votes as votes_lib
from svdjax.core.errors import BadInput
from svdjax.inputs import export


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Three models with three videos each, every frame of a model of its own brightness."""
  root = tmp_path_factory.mktemp('models')
  for level, name in ((40, 'dark'), (120, 'grey'), (220, 'light')):
    for prompt in ('cat', 'dog', 'sea'):
      export.write_mp4(root / name / f'{prompt}.mp4', np.full((3, 16, 16, 3), level, np.uint8), 8)
  (root / 'dark' / 'cat.txt').write_text('a cat\nsits')
  return {name: str(root / name) for name in ('dark', 'grey', 'light')}


@pytest.fixture
def client(folders, tmp_path):
  """A running page; client(path, body) -> bytes, client.votes the file."""
  videos = tasks.find_videos(folders)
  store = votes_lib.Votes(tmp_path / 'votes.jsonl')
  session = page.Session(videos, command.read_prompts(videos), store, 0, False)
  server = page.make_server(session, 0)
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()

  def call(path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers = {'Content-Type': 'application/json'} | headers if data else headers
    url = f'http://127.0.0.1:{server.server_address[1]}{path}'
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as reply:
      return reply.read()

  call.session, call.votes = session, tmp_path / 'votes.jsonl'
  yield call
  server.shutdown()
  server.server_close()
  thread.join()


def answer_all(client, rater, prefer):
  """Answers every question of a rater by prefer(left bytes, right bytes) -> 'left' or 'right'."""
  while (asked := json.loads(client(f'/next?rater={rater}')))['task'] is not None:
    left, right = (client(f'/video?rater={rater}&task={asked["task"]}&side={side}')
                   for side in ('left', 'right'))
    client('/vote', {'rater': rater, 'task': asked['task'], 'side': prefer(left, right), 'ms': 5})


def brightness_of(videos):
  """{bytes: brightness}; noise is the darkest, so that it is never preferred."""
  levels = {'dark': 1, 'grey': 2, 'light': 3}
  return {p.read_bytes(): levels[m] for m, found in videos.items() for p in found.values()}


def test_votes_are_ranked_and_sloppy_raters_left_out(client, capsys):
  level = brightness_of(client.session.videos)
  brighter = lambda l, r: 'left' if level.get(l, 0) >= level.get(r, 0) else 'right'
  darker = lambda l, r: 'right' if brighter(l, r) == 'left' else 'left'
  answer_all(client, 'ann', brighter)
  answer_all(client, 'bob', darker)  # fails the attention checks too
  rows = votes_lib.read(client.votes)
  assert collections.Counter(r['rater_id'] for r in rows) == {'ann': 20, 'bob': 20}
  assert {r['attention_ok'] for r in rows if r['rater_id'] == 'ann'} == {None, True}
  result = command.rank(command.parse_args(['rank', '--votes', str(client.votes)]))
  assert 'rater bob passed 0 %' in capsys.readouterr().out
  for axis in ('quality', 'prompt', 'both'):
    assert [r['model'] for r in result[axis]] == ['light', 'grey', 'dark']


def test_a_page_started_again_goes_on(client):
  first = json.loads(client('/next?rater=eve'))
  client('/vote', {'rater': 'eve', 'task': first['task'], 'side': 'left', 'ms': 7})
  client('/vote', {'rater': 'eve', 'task': first['task'], 'side': 'right', 'ms': 7})
  with open(client.votes, 'a') as file:
    file.write('{"key": "cut o')  # a crash in the middle of a line
  again = votes_lib.Votes(client.votes)
  assert len(again.rows) == 1 and again.done('eve') == {again.rows[0]['key']}
  task = tasks.Task('cat', 'dark', 'grey', 'quality', 'left')
  again.add(task, 0, 'zoe', 'a', 3)
  assert [r['rater_id'] for r in votes_lib.read(client.votes)] == ['eve', 'zoe']


def test_orders_and_sides_are_random_and_complete(folders):
  videos = tasks.find_videos(folders)
  plans = [tasks.plan(videos, rater, 0) for rater in ('a', 'b')]
  real = [[t for t in plan if not t.model_b.startswith(tasks.NOISE)] for plan in plans]
  assert len(real[0]) == 3 * 3 * 2 and len(plans[0]) == 18 + 2
  assert {t.key() for t in real[0]} == {t.key() for t in real[1]}
  assert [t.key() for t in real[0]] != [t.key() for t in real[1]]
  assert {t.side for t in real[0]} == {'left', 'right'}
  assert tasks.plan(videos, 'a', 0) == plans[0]
  assert len({t.key() for t in plans[0]}) == len(plans[0])


def test_the_page_names_no_model_and_shows_the_prompt(client):
  assert b'ArrowLeft' in client('/')
  texts = set()
  plan = client.session.plan('kim')
  for number, task in enumerate(plan):
    shown = client.session.next('kim')
    assert shown['task'] == number and not {'dark', 'grey', 'light'} & set(map(str, shown.values()))
    texts.add(shown['prompt'])
    client.session.answer('kim', number, 'left', 1)
  assert 'a cat sits' in texts


def test_parts_of_a_video_are_served(client):
  whole = client('/video?rater=a&task=0&side=left')
  assert client('/video?rater=a&task=0&side=left', Range='bytes=3-9') == whole[3:10]
  assert client('/video?rater=a&task=0&side=left', Range='bytes=5-') == whole[5:]


@pytest.mark.parametrize('path, body, headers', [
    ('/video?rater=a&task=999&side=left', None, {}), ('/etc/passwd', None, {}), ('/next', None, {}),
    ('/vote', {'rater': 'a', 'task': 0, 'side': 'tie', 'ms': 1}, {}),
    ('/vote', {'rater': 'a', 'task': -1, 'side': 'left', 'ms': 1}, {}),
    ('/vote', {'rater': 'a', 'task': 0, 'side': 'left', 'ms': 1}, {'Content-Type': 'text/plain'})])
def test_wrong_requests_are_refused_and_store_nothing(client, path, body, headers):
  with pytest.raises(urllib.error.HTTPError):
    client(path, body, **headers)
  assert not client.votes.exists()


@pytest.mark.parametrize('options, message', [
    (['serve', '--port', '99999'], 'port 99999 .* to 65535'), (['serve', '--port', '-1'], 'port -1'),
    (['serve', '--seed', '-1'], 'seed -1'), (['rank', '--seed', '-1'], 'seed -1 .* from 0')])
def test_numbers_out_of_range_are_refused(options, message, tmp_path):
  with pytest.raises(BadInput, match=message):
    command.main([*options, '--votes', str(tmp_path / 'v.jsonl')])


@pytest.mark.parametrize('models, message', [
    (['x'], 'NAME=FOLDER'), (['x=/nowhere', 'y=/nowhere'], 'holds no videos'), ([], 'two models')])
def test_bad_models_are_refused(models, message, tmp_path):
  options = [part for m in models for part in ('--model', m)]
  with pytest.raises(BadInput, match=message):
    command.main(['serve', '--votes', str(tmp_path / 'v.jsonl'), *options])


def test_what_is_no_file_of_votes_is_refused(tmp_path):
  rank = functools.partial(command.main, ['rank', '--votes', str(tmp_path / 'v.jsonl')])
  with pytest.raises(BadInput, match='cannot be read'):
    rank()
  (tmp_path / 'v.jsonl').write_text('{"a": 1}\n')
  with pytest.raises(BadInput, match='line 1 is no vote'):
    rank()
  (tmp_path / 'v.jsonl').write_text('')
  with pytest.raises(BadInput, match='no vote that counts'):
    rank()


def vote(store, rater):
  store.add(tasks.Task('cat', 'dark', 'grey', 'quality', 'left'), 0, rater, 'a', 3)


@pytest.mark.parametrize('text, line', [('hello', 1), ('hello\n', 1), ('{"a": 1}', 1), ('\n3\n', 2)])
def test_no_vote_is_added_to_a_file_of_something_else(text, line, tmp_path):
  (tmp_path / 'v.txt').write_text(text)
  with pytest.raises(BadInput, match=f'v.txt, line {line} '):
    votes_lib.Votes(tmp_path / 'v.txt')
  assert (tmp_path / 'v.txt').read_text() == text


def test_only_the_last_line_may_be_broken_and_only_by_a_crash(tmp_path):
  path = tmp_path / 'v.jsonl'
  store = votes_lib.Votes(path)
  for rater in ('ann', 'eve\u2028', 'zoë'):
    vote(store, rater)
  whole = path.read_bytes()
  for cut in range(1, len(whole.splitlines()[-1]), 3):  # anywhere in the last line
    path.write_bytes(whole[:-cut])
    again = votes_lib.Votes(path)
    assert [r['rater_id'] for r in again.rows] == ['ann', 'eve\u2028', 'zoë'][:2 + (cut == 1)]
    vote(again, 'bob')
    assert votes_lib.read(path)[-1]['rater_id'] == 'bob'
  path.write_bytes(whole.replace(b'{"key"', b'{"key', 2))
  with pytest.raises(BadInput, match='line 1 '):
    votes_lib.Votes(path)
