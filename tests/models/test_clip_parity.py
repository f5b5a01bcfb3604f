"""The towers against transformers, on random weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from svdjax.convert import mapping, store, table
from svdjax.core import weights
from svdjax.models import clip

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

IMAGE = clip.ImageConfig(width=64, layers=4, heads=4, mlp=256, patch=14, size=56, projection=48)
TEXT = clip.TextConfig(width=32, layers=2, heads=4, mlp=64, context=9, vocab=50, projection=24)
END = TEXT.vocab - 1


def random_weights(model):
  """Fills every torch parameter, norms and biases too: defaults would hide mistakes."""
  torch.manual_seed(0)
  for name, p in model.named_parameters():
    norm = 'norm' in name and name.endswith('weight')
    std = p[0].numel() ** -0.5 if p.ndim > 1 and 'embedding.' not in name else 0.1
    p.data = torch.randn(p.shape) * (0.1 if norm else std) + (1. if norm else 0.)


def from_torch(model, network, config):
  """A transformers CLIP model's weights under our names and in our layout."""
  theirs = weights.Loaded({mapping.spelling(n, network): p.detach().numpy()
                           for n, p in model.named_parameters()})
  sizes = dataclasses.asdict(config)
  found = mapping.Mapping(network, store.shapes_of(network, sizes), 'diffusers', table.Depth())
  found.check(theirs.specs, 'the model')
  pieces = {}
  for name, array in found.to_ours(theirs, np.dtype(np.float32)):
    pieces.setdefault(name.removeprefix(f'{network}/'), []).append(array)
  return {name: jnp.asarray(np.stack(arrays) if '/layers/' in name else arrays[0])
          for name, arrays in pieces.items()}


def assert_parity(got, want):
  np.testing.assert_allclose(got, want.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize('act', ['gelu', 'quick_gelu'])
def test_image_tower_equals_transformers(act):
  model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
      hidden_size=IMAGE.width, intermediate_size=IMAGE.mlp, num_hidden_layers=IMAGE.layers,
      num_attention_heads=IMAGE.heads, patch_size=IMAGE.patch, image_size=IMAGE.size,
      projection_dim=IMAGE.projection, hidden_act=act))
  random_weights(model)
  tower = clip.build_image(dataclasses.replace(IMAGE, act=act))
  images = np.random.default_rng(0).normal(size=(2, 56, 56, 3)).astype(np.float32)
  with jax.default_matmul_precision('highest'):
    got = tower.apply(from_torch(model, 'clip_image', IMAGE), jnp.asarray(images))
  assert_parity(got, model(torch.from_numpy(images.transpose(0, 3, 1, 2))).image_embeds)


@pytest.mark.parametrize('projection, act', [
    (None, 'gelu'), (TEXT.projection, 'gelu'), (TEXT.projection, 'quick_gelu')])
def test_text_tower_equals_transformers(projection, act):
  make = transformers.CLIPTextModel if projection is None else (
      transformers.CLIPTextModelWithProjection)
  model = make(transformers.CLIPTextConfig(
      hidden_size=TEXT.width, intermediate_size=TEXT.mlp, num_hidden_layers=TEXT.layers,
      num_attention_heads=TEXT.heads, max_position_embeddings=TEXT.context, vocab_size=TEXT.vocab,
      projection_dim=TEXT.projection, hidden_act=act, eos_token_id=END, bos_token_id=0))
  random_weights(model)
  config = dataclasses.replace(TEXT, projection=projection, act=act)
  tower = clip.build_text(config)
  tokens = np.array([[3, 7, 1, END, 0, 0, 0, 0, 0], [9, 8, 2, 2, 40, 30, 5, 6, END]], np.int32)
  with jax.default_matmul_precision('highest'):
    states, pooled = tower.apply(from_torch(model, 'clip_text', config), jnp.asarray(tokens))
  want = model(torch.from_numpy(tokens).long())
  assert_parity(states, want.last_hidden_state)
  assert_parity(pooled, want.pooler_output if projection is None else want.text_embeds)
