"""Figures that were asked for and not measured."""

import types

import pytest

from svdjax.metrics import missing, suite

READS, SEES = (types.SimpleNamespace(reads_text=reads, path='DIR') for reads in (True, False))


def test_networks_promise_their_figures():
  assert missing.promised(suite.Extractors()) == []
  assert set(missing.promised(suite.Extractors(clip=READS))) == {
      'CLIPSIM', 'CLIP-S', 'frame consistency (CLIP)'}


@pytest.mark.parametrize('name, networks, why', [
    ('FVD', {}, 'it needs --i3d'),
    ('FVD', {'i3d': 'weights'}, 'it needs 2 made and 4 real clips, not 3 and 3'),
    ('CLIPSIM', {'clip': READS}, 'the made clips have no captions'),
    ('CLIPSIM', {'clip': SEES},
     '--clip DIR has no text tower that goes with its image tower'),
    ('SSIM', {}, 'as told'), ('beauty', {}, 'there is no such figure')])
def test_what_is_missing_is_named_with_its_reason(name, networks, why, capsys):
  found = missing.reasons([name, 'PSNR'], suite.Extractors(**networks), {'PSNR'},
                          {'made': 3, 'real': 3}, 'as told')
  assert found == {name: why}
  missing.say(found)
  assert capsys.readouterr().err == f'{name}: not measured, {why}\n'
