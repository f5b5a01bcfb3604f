"""Annotators that misbehave, each in one way; found as a module by worker processes."""

import os
import time


def wait_for(path):
  """Whether a file appears within ten seconds; "" is there at once."""
  for _ in range(200):
    if not path or os.path.exists(path):
      return True
    time.sleep(0.05)
  return False


class Plugin:
  """Says what `answer` gives; a clip whose id begins with `bad` (hex digits) makes it misbehave."""
  fields = ('caption_image',)
  batch = 4

  def __init__(self, how='', bad='', log=''):
    self.how, self.bad, self.log = how, bad, log

  def version(self):
    return '1'

  def setup(self):
    if self.how == 'setup':
      self._note('setup')
      raise RuntimeError('no weights')

  def _note(self, text):
    if self.log:
      with open(self.log, 'a') as file:
        file.write(f'{text}\n')

  def __call__(self, views):
    self._note(len(views))
    hit = [v for v in views if self.bad and v.clip_id in self.bad.split('+')]
    if hit and self.how == 'raise':
      raise RuntimeError('no idea')
    if hit and self.how == 'rows':
      return [{}] * (len(views) + 1)
    if hit and self.how == 'field':
      return [{'beauty': '1'} for _ in views]
    if hit and self.how == 'status':
      return [{'caption_image': 'a clip', 'caption_image_status': 'good'} for _ in views]
    if hit and self.how == 'die':
      os._exit(7)
    if hit and self.how == 'hang':
      time.sleep(1000)
    return [{'caption_image': f'clip {v.clip_id}'} for v in views]
