"""The towers against transformers, on random weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def from_torch(model, tower):
  """A transformers CLIP model's weights under our names and in our layout."""
  theirs = {n: p.detach().numpy() for n, p in model.named_parameters()}
  # transformers 5 leaves the prefix out of CLIPTextModel.
  prefix = 'text_model.' if 'final_layer_norm.weight' in theirs else ''
  theirs = {n if 'projection' in n else prefix + n: p for n, p in theirs.items()}

  def one(name):
    stem, leaf = name.replace('/', '.').rsplit('.', 1)
    leaf = {'kernel': 'weight', 'embedding': 'weight', 'scale': 'weight'}.get(leaf, leaf)
    value = theirs.pop(f'{stem}.{leaf}')
    if not name.endswith('kernel'):
      return value
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T

  def read(name, shape):
    if '/layers/' not in name:
      return one(name)
    return np.stack([one(name.replace('layers', f'layers/{i}')) for i in range(shape[0])])

  params = {name: jnp.asarray(read(name, s.shape)) for name, s in tower.shapes.items()}
  assert not theirs, f'not converted: {list(theirs)}'
  return params


def parity(got, want):
  np.testing.assert_allclose(got, want.detach().numpy(), atol=1e-5)


def test_image_tower_equals_transformers():
  model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
      hidden_size=IMAGE.width, intermediate_size=IMAGE.mlp, num_hidden_layers=IMAGE.layers,
      num_attention_heads=IMAGE.heads, patch_size=IMAGE.patch, image_size=IMAGE.size,
      projection_dim=IMAGE.projection, hidden_act='gelu'))
  random_weights(model)
  tower = clip.build_image(IMAGE)
  images = np.random.default_rng(0).normal(size=(2, 56, 56, 3)).astype(np.float32)
  with jax.default_matmul_precision('highest'):
    got = tower.apply(from_torch(model, tower), jnp.asarray(images))
  parity(got, model(torch.from_numpy(images.transpose(0, 3, 1, 2))).image_embeds)


@pytest.mark.parametrize('projection', [None, TEXT.projection])
def test_text_tower_equals_transformers(projection):
  make = transformers.CLIPTextModel if projection is None else (
      transformers.CLIPTextModelWithProjection)
  model = make(transformers.CLIPTextConfig(
      hidden_size=TEXT.width, intermediate_size=TEXT.mlp, num_hidden_layers=TEXT.layers,
      num_attention_heads=TEXT.heads, max_position_embeddings=TEXT.context, vocab_size=TEXT.vocab,
      projection_dim=TEXT.projection, hidden_act='gelu', eos_token_id=END, bos_token_id=0))
  random_weights(model)
  tower = clip.build_text(dataclasses.replace(TEXT, projection=projection))
  tokens = np.array([[3, 7, 1, END, 0, 0, 0, 0, 0], [9, 8, 2, 2, 40, 30, 5, 6, END]], np.int32)
  with jax.default_matmul_precision('highest'):
    states, pooled = tower.apply(from_torch(model, tower), jnp.asarray(tokens))
  want = model(torch.from_numpy(tokens).long())
  parity(states, want.last_hidden_state)
  parity(pooled, want.pooler_output if projection is None else want.text_embeds)
