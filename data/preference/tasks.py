"""Which pairs a rater is shown, and in what order (SVD, appendix E.1)."""

import dataclasses
import hashlib
import itertools
import pathlib

import numpy as np

from svdjax.core.errors import BadInput

AXES = ('quality', 'prompt')
CHECK_EVERY = 10  # pairs between attention checks; ours
NOISE = '(noise)'  # in place of a model: the video of an attention check that nobody can prefer
_SUFFIXES = ('.mp4', '.webm')


@dataclasses.dataclass(frozen=True)
class Task:
  """One question.

  Attributes:
    prompt_id: what both videos were made from: their file name without suffix.
    model_a, model_b: names in the order of the alphabet; NOISE in an attention check.
    axis: one of AXES.
    side: where model_a is shown, 'left' or 'right'.
  """
  prompt_id: str
  model_a: str
  model_b: str
  axis: str
  side: str

  def key(self):
    """Hex digest of what is asked, wherever the videos stand."""
    text = '|'.join((self.prompt_id, self.model_a, self.model_b, self.axis))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def find_videos(models):
  """{model: {prompt_id: path}} of the videos in the models' folders.

  Args:
    models: {name: folder}.

  Raises:
    BadInput: fewer than two models, a folder without videos, or no prompt that two share.
  """
  if len(models) < 2:
    raise BadInput('preference needs at least two models: give --model NAME=FOLDER twice')
  videos = {}
  for name, folder in models.items():
    found = sorted(p for p in pathlib.Path(folder).glob('*') if p.suffix.lower() in _SUFFIXES)
    if not found:
      raise BadInput(f'model {name}: {folder} holds no videos: expected '
                     f'{" or ".join(_SUFFIXES)} files named by prompt')
    videos[name] = {p.stem: p for p in found}
  if not pairs(videos):
    raise BadInput('no two models have a video of the same name: name videos by their prompt, the '
                   'same in each folder')
  return videos


def pairs(videos):
  """[(prompt_id, model_a, model_b)] of every prompt and every two models that have it."""
  return [(prompt, a, b) for a, b in itertools.combinations(sorted(videos), 2)
          for prompt in sorted(videos[a].keys() & videos[b].keys())]


def plan(videos, rater, seed):
  """The questions of one rater: every pair on both axes, in an order and with sides of their own.

  Args:
    videos: of `find_videos`.
    rater: name; others get another order.
    seed: integer.

  Returns:
    [Task], with an attention check after each CHECK_EVERY.
  """
  digest = hashlib.blake2b(f'{rater}|{seed}'.encode(), digest_size=8).digest()
  rng = np.random.default_rng(int.from_bytes(digest, 'big'))
  asked = [(*pair, axis) for pair in pairs(videos) for axis in AXES]
  sides = rng.choice(['left', 'right'], 2 * len(asked))
  tasks = []
  for count, i in enumerate(rng.permutation(len(asked)), 1):
    tasks.append(Task(*asked[i], str(sides[i])))
    if count % CHECK_EVERY == 0 or count == len(asked):
      prompt, model, _, axis = asked[rng.integers(len(asked))]
      # Numbered, so that each is a question of its own.
      tasks.append(Task(prompt, model, f'{NOISE}{count}', axis, str(sides[len(asked) + i])))
  return tasks
