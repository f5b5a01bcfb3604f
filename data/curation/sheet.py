"""Contact sheets: clips as rows of three pictures, so that a person sees what a rule does."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from data.curation import clip as clips_lib

_WIDTH, _COLUMNS, _LABEL = 160, 3, 14


def pick(clips, count):
  """At most `count` of the clips, spread evenly over their order."""
  spread = np.round(np.linspace(0, len(clips) - 1, min(count, len(clips)))).astype(int)
  return [clips[i] for i in spread]


def draw(places, clips, label):
  """One picture of many clips.

  Args:
    places: ledger.Places.
    clips: [{field: value}], not empty.
    label: function of a clip, giving a short text.

  Returns:
    uint8 [h w 3].
  """
  cells = [_cell(places, clip, label(clip)) for clip in clips]
  height = max(len(cell) for cell in cells)
  cells = [np.pad(c, ((0, height - len(c)), (0, 4), (0, 0)), constant_values=255) for c in cells]
  blank = np.full_like(cells[0], 255)
  cells += [blank] * (-len(cells) % _COLUMNS)
  rows = [np.concatenate(cells[i:i + _COLUMNS], axis=1) for i in range(0, len(cells), _COLUMNS)]
  return np.concatenate(rows)


def _cell(places, clip, text):
  path = places.clips(clip['source_id']) / f'{clip["clip_id"]}.jpg'
  shown = clips_lib.pictures(path.read_bytes())
  height = round(_WIDTH * shown.shape[1] / shown.shape[2])
  small = [cv2.resize(x, (_WIDTH, height), interpolation=cv2.INTER_AREA) for x in shown]
  bar = Image.new('RGB', (3 * _WIDTH, _LABEL), 'white')
  ImageDraw.Draw(bar).text((2, 1), text, fill='black')
  return np.concatenate([np.asarray(bar), np.concatenate(small, axis=1)])
