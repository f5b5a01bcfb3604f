"""The two towers of CLIP: images to one vector, captions to a sequence of states.

The image vector is what SVD cross-attends to; the text states condition the text-to-video stages.
Parameter names are Hugging Face CLIP's with '/', layers stacked along a leading dimension.
Towers compute in one dtype (parameters are cast where they are used); norms and softmax in fp32.
"""

import dataclasses

from flax import nnx
import jax
import jax.numpy as jnp

from svdjax.core.errors import BadInput
from svdjax.models import clip_layers
from svdjax.models import nn


@dataclasses.dataclass(frozen=True)
class ImageConfig:
  """A vision transformer: `size` pixels square in `patch` pixels square, `projection` wide.

  `act` is a name in clip_layers.ACTIVATIONS: OpenCLIP has 'gelu', OpenAI's CLIP 'quick_gelu'.
  """
  width: int
  layers: int
  heads: int
  mlp: int
  patch: int
  size: int
  projection: int
  act: str = 'gelu'


@dataclasses.dataclass(frozen=True)
class TextConfig:
  """A causal transformer over `context` tokens of `vocab`; `projection` None leaves it out.

  `layers` counts the layers that run: a "penultimate" encoder leaves out the last trained one.
  `act` as of ImageConfig.
  """
  width: int
  layers: int
  heads: int
  mlp: int
  context: int
  vocab: int
  projection: int | None
  act: str = 'gelu'


# OpenCLIP ViT-H/14 (laion2b_s32b_b79k), the image encoder of SVD.
IMAGE_VIT_H = ImageConfig(width=1280, layers=32, heads=16, mlp=5120, patch=14, size=224,
                          projection=1024)
# The text encoder of Stable Diffusion 2.1: 23 of OpenCLIP ViT-H's 24 layers.
TEXT_SD21 = TextConfig(width=1024, layers=23, heads=16, mlp=4096, context=77, vocab=49408,
                       projection=None)


def build_image(config):
  """The image tower as an `nn.Functional`.

  `apply(params, images)` takes images [n size size 3], normalised by `clip_resize.preprocess`,
  and returns their projected, not normalised embeddings [n projection] in the images' dtype.

  Raises:
    BadInput: heads do not divide width, patch does not divide size, or `act` is unknown.
  """
  _require_activation(config)
  _require_divides(config, 'heads', 'width')
  _require_divides(config, 'patch', 'size')
  return nn.functional(lambda keys: ImageTower(config, rngs=keys))


def build_text(config):
  """The text tower as an `nn.Functional`.

  `apply(params, tokens, dtype=float32)` takes int tokens [n context] whose largest id ends the
  caption, and returns (states [n context width] after the last norm, pooled [n projection]): the
  state at the end token through the projection, or as it is where there is none.

  Raises:
    BadInput: heads do not divide width, or `act` is unknown.
  """
  _require_activation(config)
  _require_divides(config, 'heads', 'width')
  return nn.functional(lambda keys: TextTower(config, rngs=keys))


def normalised(x):
  """Unit vectors along the last axis."""
  return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _require_activation(config):
  if config.act not in clip_layers.ACTIVATIONS:
    raise BadInput(f'CLIP act="{config.act}" is unknown: use one of '
                   f'{", ".join(clip_layers.ACTIVATIONS)}')


def _require_divides(config, small, large):
  a, b = getattr(config, small), getattr(config, large)
  if b % a:
    raise BadInput(f'CLIP {large}={b} is not a multiple of {small}={a}: change one of them')


class ImageEmbeddings(nnx.Module):
  """Class token and patches, each plus its learned position: [b h w 3] -> [b 1+n width]."""

  def __init__(self, config, *, rngs):
    std = config.width ** -0.5
    tokens = 1 + (config.size // config.patch) ** 2
    self.class_embedding = clip_layers.normal((config.width,), std, rngs)
    self.patch_embedding = clip_layers.Patches(config.patch, config.width, rngs=rngs)
    self.position_embedding = clip_layers.Positions(tokens, config.width, std, rngs=rngs)

  def __call__(self, images):
    x = self.patch_embedding(images)
    first = jnp.broadcast_to(nn.along_last(self.class_embedding[...], x), x[:, :1].shape)
    x = jnp.concatenate([first, x], axis=1)
    return self.position_embedding(x)


class ImageTransformer(nnx.Module):
  """Images to the normalised state of the class token: [b h w 3] -> [b width]."""

  def __init__(self, config, *, rngs):
    self.embeddings = ImageEmbeddings(config, rngs=rngs)
    self.pre_layrnorm = nn.LayerNorm(config.width, rngs=rngs)
    self.encoder = clip_layers.Encoder(config, rngs=rngs)
    self.post_layernorm = nn.LayerNorm(config.width, rngs=rngs)

  def __call__(self, images):
    x = self.encoder(self.pre_layrnorm(self.embeddings(images)), causal=False)
    return self.post_layernorm(x[:, 0])


class ImageTower(nnx.Module):
  """Images to embeddings: [b h w 3] -> [b projection]."""

  def __init__(self, config, *, rngs):
    self.vision_model = ImageTransformer(config, rngs=rngs)
    self.visual_projection = clip_layers.linear(
        config.width, config.projection, config.width ** -0.5, bias=False, rngs=rngs)

  def __call__(self, images):
    return self.visual_projection(self.vision_model(images))


class TextEmbeddings(nnx.Module):
  """Tokens plus learned positions: int [b n] -> [b n width]."""

  def __init__(self, config, *, rngs):
    # CLIP starts at 0.02. After a short training, words that no frame tells about (directions)
    # would then be told apart four times less than colours.
    self.token_embedding = clip_layers.Embedding(config.vocab, config.width, 1.0, rngs=rngs)
    self.position_embedding = clip_layers.Positions(config.context, config.width, 0.01, rngs=rngs)

  def __call__(self, tokens, dtype):
    return self.position_embedding(self.token_embedding(tokens, dtype))


class TextTransformer(nnx.Module):
  """Tokens to causal, normalised states: int [b n] -> [b n width]."""

  def __init__(self, config, *, rngs):
    self.embeddings = TextEmbeddings(config, rngs=rngs)
    self.encoder = clip_layers.Encoder(config, rngs=rngs)
    self.final_layer_norm = nn.LayerNorm(config.width, rngs=rngs)

  def __call__(self, tokens, dtype):
    return self.final_layer_norm(self.encoder(self.embeddings(tokens, dtype), causal=True))


class TextTower(nnx.Module):
  """Tokens to states and the pooled caption: int [b n] -> ([b n width], [b projection])."""

  def __init__(self, config, *, rngs):
    self.text_model = TextTransformer(config, rngs=rngs)
    self.text_projection = None if config.projection is None else clip_layers.linear(
        config.width, config.projection, config.width ** -0.5, bias=False, rngs=rngs)

  def __call__(self, tokens, dtype=jnp.float32):
    states = self.text_model(tokens, dtype)
    end = jnp.argmax(tokens, axis=-1)[:, None, None]
    pooled = jnp.take_along_axis(states, end, axis=1)[:, 0]
    return states, pooled if self.text_projection is None else self.text_projection(pooled)
