"""Votes on disk: one line each, there for good once the page says so."""

import collections
import json
import os
import pathlib
import threading

from data.preference import tasks
from svdjax.core.errors import BadInput

FIELDS = ('key', 'prompt_id', 'seed', 'model_a', 'model_b', 'side', 'axis', 'winner', 'rater_id',
          'attention_ok', 'ms')
WINNERS = ('a', 'b', 'tie')
_BEGINNING = b'{"key": "'  # of each line
_ATTENTIVE = 0.8  # share of checks that a rater must pass; ours


class Votes:
  """An append-only file of votes, safe against a crash at any time.

  Args:
    path: of the JSONL file; made when the first vote comes.
  """

  def __init__(self, path):
    self.path, self._lock = pathlib.Path(path), threading.Lock()
    self.rows = read(path) if self.path.exists() else []
    self._mend()

  def _mend(self):
    """Drops what a crash left of a vote, so that the next one has a line of its own."""
    rest = self.path.read_bytes().rpartition(b'\n')[2] if self.path.exists() else b''
    if not rest:
      return
    with open(self.path, 'r+b') as file:
      end = file.seek(0, 2)
      if _is_cut_off(rest):
        file.truncate(end - len(rest))
      else:
        file.write(b'\n')

  def done(self, rater):
    """{key} of the tasks that a rater has answered."""
    with self._lock:
      return {row['key'] for row in self.rows if row['rater_id'] == rater}

  def add(self, task, seed, rater, winner, ms):
    """Writes a vote; on disk when this returns. A second answer to a task is left out."""
    row = {'key': task.key(), 'prompt_id': task.prompt_id, 'seed': seed, 'model_a': task.model_a,
           'model_b': task.model_b, 'side': task.side, 'axis': task.axis, 'winner': winner,
           'rater_id': rater, 'attention_ok': None, 'ms': ms}
    if task.model_b.startswith(tasks.NOISE):
      row['attention_ok'] = winner == 'a'
    with self._lock:
      if any(r['key'] == row['key'] and r['rater_id'] == rater for r in self.rows):
        return
      with open(self.path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(row, ensure_ascii=False) + '\n')
        file.flush()
        os.fsync(file.fileno())
      self.rows.append(row)


def _is_cut_off(line):
  """Whether the last line of a file, without its end, is the beginning of a vote."""
  try:
    json.loads(line)
  except ValueError:
    return line[:len(_BEGINNING)] == _BEGINNING[:len(line)]
  return False


def read(path):
  """The votes in a file; a last line that a crash cut off is left out.

  Raises:
    BadInput: it is not there, or holds something else.
  """
  try:
    *lines, rest = pathlib.Path(path).read_bytes().split(b'\n')
  except OSError as error:
    raise BadInput(f'votes {path} cannot be read ({error}): name the file of a page') from error
  if rest and not _is_cut_off(rest):
    lines.append(rest)
  return [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(path, number, line):
  try:
    row = json.loads(line)
  except ValueError:
    row = None
  if not isinstance(row, dict) or not set(FIELDS) <= set(row) or row['winner'] not in WINNERS:
    raise BadInput(f'votes {path}, line {number} is no vote: name the file of a page, or take the '
                   'line out')
  return row


def attentive(rows):
  """Votes without attention checks, of raters who passed enough of theirs.

  Returns:
    (votes, {rater: share of checks passed} of those left out).
  """
  checks = collections.defaultdict(list)
  for row in rows:
    if row['attention_ok'] is not None:
      checks[row['rater_id']].append(row['attention_ok'])
  passed = {rater: sum(found) / len(found) for rater, found in checks.items()}
  out = {rater: share for rater, share in passed.items() if share < _ATTENTIVE}
  return [r for r in rows if r['attention_ok'] is None and r['rater_id'] not in out], out
