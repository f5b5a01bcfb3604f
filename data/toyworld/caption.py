"""Three captions of a scene: what is seen, what happens, and both."""

import numpy as np

_OVER = ('over', 'in front of')


def _choose(rng, *options):
  return options[rng.integers(len(options))]


def _object_captions(rng, scene, thing, place):
  spinning = ' while spinning' if scene.spin else ''
  over = _choose(rng, *_OVER)
  if scene.direction == 'none':
    video = _choose(rng, f'{thing} standing still', f'{thing} stands still')
    if spinning:
      video = _choose(rng, f'{thing} spinning in place', f'{thing} spins in place')
  else:
    video = _choose(rng, f'{thing} moving {scene.direction} {scene.speed}',
                    f'{thing} {scene.speed} moves {scene.direction}') + spinning
  return video, _choose(rng, f'{video} {over} {place}', f'{over} {place} {video}')


def _camera_captions(rng, scene, thing, place):
  if scene.move in ('in', 'out'):
    to = 'on' if scene.move == 'in' else 'from'
    verb, thing = f'zooms {scene.move}', f'{to} {thing}'
  else:
    verb, thing = f'pans {scene.move}', f'past {thing}'
  video = _choose(rng, f'the camera {verb} {scene.speed} {thing}',
                  f'the camera {scene.speed} {verb} {thing}')
  return video, f'{video} {_choose(rng, *_OVER)} {place}'


def captions(scene):
  """[image, video, merged] in lower case; which paraphrase is part of the scene's seed."""
  rng = np.random.Generator(np.random.PCG64(scene.caption_seed))
  thing, place = f'a {scene.color} {scene.shape}', f'{scene.tint} {scene.background}'
  if scene.kind == 'turntable':
    thing, place = f'a {scene.color} and {scene.second_color} {scene.shape}', f'plain {scene.tint}'
    video = _choose(rng, f'{thing} turning', f'{thing} on a turntable',
                    f'the camera circles {thing}')
    return [f'{thing} on {place}', video, f'{video} on {place}']
  seen = f'{thing} pointing {scene.direction}' if scene.kind == 'pointer' else thing
  image = _choose(rng, f'{seen} on {place}', f'{seen} {_choose(rng, *_OVER)} {place}',
                  f'{place} behind {seen}')
  write = _camera_captions if scene.kind == 'camera' else _object_captions
  return [image, *write(rng, scene, thing, place)]
