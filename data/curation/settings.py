"""What the clips of a source depend on, besides its bytes."""

import dataclasses
import hashlib
import json

CODE = 2  # raised when the same settings give other clips or other measurements


@dataclasses.dataclass(frozen=True)
class Settings:
  """How sources are cut. The paper gives none of these numbers; all are ours unless noted.

  Attributes:
    cascade: (frames a second, threshold) of each cut detector, the finest first; 0 is the rate of
      the source. Three detectors at three rates, as the paper. PySceneDetect's own threshold is
      27; ours can be lower because what motion explains does not count.
    fade_change: least mean change of a fade, in grey levels of 255.
    min_seconds: shorter clips are dropped.
    max_seconds: longer shots are split.
    reencode: re-encode shots that no keyframe lies in, instead of dropping them.
    large: take frames of more than 9 megapixels (4096x2160) as well.
    whole: look for no shots: a clip may run across cuts and hold fades and blank frames.
  """
  cascade: tuple = ((0.0, 10.0), (8.0, 13.0), (2.0, 16.0))
  fade_change: float = 12.0
  min_seconds: float = 2.0
  max_seconds: float = 20.0
  reencode: bool = False
  large: bool = False
  whole: bool = False

  def digest(self):
    """16 hex digits that differ for settings that may give other clips."""
    text = json.dumps([CODE, dataclasses.asdict(self)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
