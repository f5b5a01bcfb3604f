"""A curated clip as a record: what training reads, and all that curation knows of it."""

import functools
import io
import json

import numpy as np
import tensorflow_datasets as tfds

from data.curation import annotators
from svdjax.inputs import record

_TEXT = ('source_id', 'license', 'codec', 'pix_fmt', 'text_detector', 'annotators', 'preset')
_INTEGERS = ('coded_width', 'coded_height', 'rotation_deg', 'sar_num', 'sar_den',
             'color_primaries', 'color_transfer', 'color_range')
_FLAGS = ('is_hdr', 'is_interlaced', 'is_reencoded', 'is_partial_source')
_NUMBERS = ('fps_min', 'fps_max', 'motion_fb16', 'motion_dis')
_ROWS = {'cut_guard': 2, 'text_area': 3, 'aes_proxy': 4, 'aesthetic': 3}


@functools.cache
def features():
  """The fields of `svdjax.inputs.record.features` and those of curation, a TFDS FeaturesDict.

  `cut_guard` [2] are seconds from the clip's edges to the nearest cut. `flow16` [m h w 2] is
  Farnebäck's flow between samples half a second apart, in pixels of a grid of short side 16;
  `motion_fb16` its mean length. `motion_dis` is DIS flow at 256 pixels in frame diagonals a
  second. `text_area`, `aesthetic`, `clip_emb` are of the first, middle and last picture;
  `caption_sim` [caption picture] is their cosine. `caption_status` is of the image, video and
  merged caption, see annotators.CAPTION_STATUS. `keep` has a bit for each rule in `preset` (JSON).
  NaN is what was not measured. Colours are codes of H.273.
  """
  f = tfds.features
  numbers = lambda *shape: f.Tensor(shape=shape, dtype=np.float32)
  table = lambda *shape: f.Tensor(shape=shape, dtype=np.float16, encoding=f.Encoding.BYTES)
  fields = dict(record.features().items())
  fields |= {name: f.Text() for name in _TEXT}
  fields |= {name: np.int32 for name in _INTEGERS}
  fields |= {name: np.bool_ for name in _FLAGS}
  fields |= {name: np.float32 for name in _NUMBERS}
  fields |= {name: numbers(n) for name, n in _ROWS.items()}
  return f.FeaturesDict(fields | {
      'flow16': table(None, None, None, 2), 'clip_emb': table(3, None),
      'caption_status': f.Tensor(shape=(3,), dtype=np.int32), 'caption_sim': numbers(3, 3),
      'keep': np.uint32})


def make(clip, source, files, keep, preset):
  """One record.

  Args:
    clip: {field: value} of the clip, annotations merged in.
    source: manifest.Source.
    files: function of a suffix, giving the bytes of the clip's file.
    keep: its bits.
    preset: JSON text of the rules.

  Returns:
    {field: value} as `features` describes it.
  """
  missing = lambda value, shape: np.full(shape, np.nan, np.float32) if value is None else (
      np.array(value, np.float32).reshape(shape))
  row = {name: clip[name] for name in (
      'clip_id', 'width', 'height', 'num_frames', 'timebase_num', 'timebase_den', 'fps', 't_start',
      't_end', 'source_id', 'codec', 'pix_fmt', 'text_detector', *_INTEGERS, *_FLAGS)}
  row |= {name: missing(clip[name], ()) for name in _NUMBERS}
  row |= {name: missing(clip.get(name), (n,)) for name, n in _ROWS.items()}
  captions, status = captions_of(clip, source)
  embeddings = clip.get('clip_emb')
  return row | {
      'source_uri': source.uri, 'license': source.license, 'video': files('mp4'), 'truth': '',
      'pts': np.array(clip['pts'], np.int64), 'motion': float(clip['motion'] or 0.0),
      'flow16': read_npy(files('npy')), 'captions': captions,
      'caption_status': np.array(status, np.int32),
      'caption_sim': missing(clip.get('caption_sim'), (3, 3)),
      'clip_emb': np.array([[np.nan]] * 3 if embeddings is None else embeddings, np.float16),
      'annotators': json.dumps(clip.get('annotators', {}), sort_keys=True), 'keep': np.uint32(keep),
      'preset': preset}


def read_npy(data):
  """The array in the bytes of an .npy file."""
  return np.load(io.BytesIO(data), allow_pickle=False)


def captions_of(clip, source):
  """(image, video and merged caption, their status); "" and 'absent' where nobody gave one.

  What the user says of the source stands for the video caption that no annotator gave. Without a
  model that merges, the merged caption is both, one after the other.
  """
  image, video = clip.get('caption_image') or '', clip.get('caption_video') or source.caption
  merged = clip.get('caption_merged') or '. '.join(
      dict.fromkeys(c.rstrip('. ') for c in (image, video) if c))
  names = ('caption_image', 'caption_video', 'caption_merged')
  texts = [image, video, merged]
  status = [clip.get(f'{name}_status', 'ok' if text else 'absent')
            for name, text in zip(names, texts)]
  return texts, [annotators.CAPTION_STATUS[s] for s in status]
