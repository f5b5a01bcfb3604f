"""What is checked before a stage begins, and whose words it reads."""

import shutil

import pytest

from svdjax import prepare
from svdjax.core.errors import BadInput
from svdjax.models.tokenizer import Tokenizer


@pytest.fixture
def sources(workdir_of, tmp_path):
  """An autoencoder, and CLIP twice: the second with the words of other captions."""
  other = tmp_path / 'other'
  shutil.copytree(workdir_of('clip'), other)
  Tokenizer.train(['zebras zigzag zealously'] * 9, 600, 24).save(other / 'assets')
  return workdir_of('autoencoder'), workdir_of('clip'), other


def test_the_tokenizer_is_that_of_the_stage_that_brings_the_text_tower(nano, sources, tmp_path):
  autoencoder, clip, other = sources
  config = nano('image_discrete')
  for first, second in ((clip, other), (other, clip)):
    config.init_from = f'{autoencoder},{first},{second}'
    found = prepare.tokenizer_for(config, tmp_path / 'new')
    assert found.to_json() == Tokenizer.load(first / 'assets').to_json()


def test_a_run_that_goes_on_keeps_its_own_tokenizer(nano, sources, workdir_of):
  workdir = workdir_of('image_discrete')
  config = nano('image_discrete', {'init_from': str(sources[2])})
  found = prepare.tokenizer_for(config, workdir)
  assert found.to_json() == Tokenizer.load(workdir / 'assets').to_json()


def test_a_stage_that_can_begin_is_checked_without_a_trace(nano, sources, tmp_path):
  config = nano('image_discrete', {'init_from': ','.join(map(str, sources[:2]))})
  before = sorted(tmp_path.rglob('*'))
  _, parts, tokenizer, clips = prepare.checked(config, tmp_path / 'new')
  assert set(parts.networks) == {'unet', 'vae', 'clip_text'} and tokenizer and len(clips) == 8
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('stages, message', [
    ((), 'init_from is not set'), ((0,), 'brings no tokenizer'),
    ((1,), 'brings no autoencoder of this size')])
def test_what_is_missing_is_named(nano, sources, tmp_path, stages, message):
  config = nano('image_discrete', {'init_from': ','.join(str(sources[i]) for i in stages)})
  with pytest.raises(BadInput, match=message):
    prepare.checked(config, tmp_path / 'new')
