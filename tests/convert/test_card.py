"""What the card of an exported model tells a user of diffusers."""

import json
import shutil

import pytest

from svdjax.convert import to_diffusers


@pytest.fixture
def card_of(converted, tmp_path):
  """card_of(**settings of sampling) -> README.md of the exported model."""
  def make(**settings):
    path = shutil.copytree(converted, tmp_path / 'checkpoint')
    config = json.loads((path / 'config.json').read_text())
    config['sample'] |= settings
    (path / 'config.json').write_text(json.dumps(config))
    to_diffusers.convert(path, tmp_path / 'out')
    return (tmp_path / 'out' / 'README.md').read_text()
  return make


def test_frames_are_decoded_in_the_same_chunks(card_of):
  assert 'num_inference_steps=25, decode_chunk_size=8)' in card_of(decode_chunk=8)


def test_decoding_all_at_once_is_one_chunk_of_all_frames(card_of):
  assert 'decode_chunk_size=3)' in card_of(decode_chunk=0)


@pytest.mark.parametrize('guidance, low', [('constant', 2), ('linear', 1), ('triangle', 1)])
def test_guidance_is_what_the_pipeline_can_do(card_of, guidance, low):
  """Its schedule is linear: one scale is both of its ends, and a triangle is said to be missing."""
  card = card_of(guidance=guidance, guidance_min=1., guidance_max=2.)
  assert f'min_guidance_scale={low}, max_guidance_scale=2,' in card
  assert ('(`triangle`). The pipeline cannot' in card) == (guidance == 'triangle')
