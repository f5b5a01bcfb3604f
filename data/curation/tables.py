"""What a run knows, as Parquet for whoever wants to look deeper, and in figures."""

import numpy as np
import pyarrow
import pyarrow.parquet

YEAR = 365.25 * 24 * 3600  # seconds
_WIDE = ('pts', 'clip_emb')  # of use to training alone


def write(folder, collected, clips, keep):
  """Writes sources.parquet, clips.parquet (with `keep` bits) and failures.parquet.

  Args:
    folder: of the files.
    collected: run.Collected.
    clips: [{field: value}] with annotations.
    keep: uint32 [n] bits of the clips.
  """
  folder.mkdir(parents=True, exist_ok=True)
  sources = [{'source_id': i, 'uri': collected.sources[i].uri, 'seconds': row['seconds'],
              'cuts': row['cuts'], 'closed': row['closed'], 'clips': len(row['clips'])}
             | (row['facts'] or {}) for i, row in collected.rows.items()]
  rows = [{k: v for k, v in clip.items() if k not in _WIDE}
          | {'source_uri': collected.sources[clip['source_id']].uri, 'keep': int(bits)}
          for clip, bits in zip(clips, keep)]
  for name, table in (('sources', sources), ('clips', rows), ('failures', collected.failures)):
    _write(folder / f'{name}.parquet', table)


def _write(path, rows):
  names = dict.fromkeys(name for row in rows for name in row)
  columns = {name: [row.get(name) for row in rows] for name in names}
  temporary = path.with_suffix('.tmp')
  pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
  temporary.rename(path)


def figures(clips):
  """The paper's table 1 for a set of clips.

  Returns:
    {'clips', 'seconds a clip', 'years', 'frames a clip', 'clips a source'}; None without clips.
  """
  seconds = np.array([c['t_end'] - c['t_start'] for c in clips])
  some = bool(len(clips))
  return {
      'clips': len(clips), 'seconds a clip': float(seconds.mean()) if some else None,
      'years': float(seconds.sum() / YEAR),
      'frames a clip': float(np.mean([c['num_frames'] for c in clips])) if some else None,
      'clips a source': len(clips) / len({c['source_id'] for c in clips}) if some else None,
  }
