"""Why sources and clips are left out: a code for each reason, and what to do about it."""

import dataclasses
import datetime

import av
import cv2

from data.curation.settings import CODE

# code: (whether another run may succeed, remedy)
CODES = {
    'EMPTY_FILE': (False, 'copy it again'),
    'UNREADABLE': (False, 'it is no video, or its index is missing: copy it again'),
    'NO_VIDEO': (False, 'give a file with moving pictures'),
    'NO_TIMESTAMPS': (False, 'a raw stream says no times: put it into an mp4 at its frame rate'),
    'TOO_LARGE': (False, 'pass --large, or scale it down'),
    'TOO_SHORT': (False, 'lower --min-seconds if such short clips are wanted'),
    'NO_KEYFRAME': (False, 'pass --reencode to keep shots without a keyframe'),
    'TRUNCATED': (False, 'its end is missing: copy it again'),
    'CORRUPT': (False, 'the decoder found damage: copy it again'),
    'CODEC': (False, 'an mp4 cannot hold this codec: pass --reencode'),
    'RESIZED': (False, 'the picture changes its size here: pass --reencode'),
    'DUPLICATE': (False, 'the same bytes were given under another name'),
    'CRASH': (False, 'the decoder crashes on it: re-encode it elsewhere'),
    'TIMEOUT': (False, 'the decoder hangs on it: re-encode it elsewhere'),
    'IO': (True, 'storage failed: run the command again'),
    'ANNOTATOR': (True, 'an annotator failed on it: run the command again'),
}
_OF_REASON = {
    'missing': 'IO', 'empty': 'EMPTY_FILE', 'not_a_video': 'UNREADABLE', 'truncated': 'UNREADABLE',
    'no_video_stream': 'NO_VIDEO', 'codec': 'CODEC', 'too_large': 'TOO_LARGE',
    'damaged': 'CORRUPT', 'bad_index': 'CORRUPT',
}


class Rejected(Exception):
  """A source or clip that is left out.

  Attributes:
    code: one of CODES.
  """

  def __init__(self, code, message):
    super().__init__(message)
    self.code = code

  def __reduce__(self):
    return Rejected, (self.code, str(self))


@dataclasses.dataclass(frozen=True)
class Failure:
  """One line of the table of failures.

  Attributes:
    uri: the source.
    stage: identify, probe, decode, clip or the name of an annotator.
    code: one of CODES.
    message: at most 500 characters.
    clip_id: "" if it is about the whole source.
    source_id: "" if its bytes are not known.
    attempt: how often it was tried.
    errno: of the operating system or FFmpeg, None if neither gave one.
  """
  uri: str
  stage: str
  code: str
  message: str
  clip_id: str = ''
  source_id: str = ''
  attempt: int = 1
  errno: int | None = None

  def row(self):
    """The failure as a dict, with whether another run may succeed, versions and time (UTC)."""
    return dataclasses.asdict(self) | {
        'retryable': CODES[self.code][0], 'message': self.message[:500],
        'versions': f'curation {CODE}, av {av.__version__}, cv2 {cv2.__version__}',
        'ts': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')}


def errno_of(error):
  """The errno of an error or of what it comes from, None if there is none."""
  while error and not isinstance(getattr(error, 'errno', None), int):
    error = error.__cause__
  return error and error.errno


def code_of(error):
  """The code of a VideoError, by its reason and never by its message."""
  return _OF_REASON[error.reason]
