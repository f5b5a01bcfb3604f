"""Converted CLIPModel folders against transformers, on random weights in fp32."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from svdjax import checkpoint, features
from svdjax.convert import from_diffusers, to_diffusers
from svdjax.models import clip as clip_lib, clip_resize
from svdjax.tasks import parts as parts_lib

pytestmark = pytest.mark.usefixtures('compiled')
CAPTIONS = ['a red circle', 'moving left, moving left, moving left, moving left', 'a']


@pytest.fixture(scope='module', params=['gelu', 'quick_gelu'])
def both(request, world, tmp_path_factory):
  """(model of transformers, checkpoint of the folder that it saved); OpenAI's end token is 2."""
  path, act = tmp_path_factory.mktemp(request.param), request.param
  sizes, tokenizer = world.clip_sizes(act)
  config = world.clip_config(*sizes.values(), 2 if act == 'quick_gelu' else tokenizer.eot)
  config.pop('architectures')
  model = transformers.CLIPModel(transformers.CLIPConfig(**config)).eval()
  for name, parameter in model.named_parameters():
    parameter.data = torch.from_numpy(np.asarray(world.draw(name, tuple(parameter.shape))))
  model.save_pretrained(path / 'in')
  tokenizer.save(path / 'in')
  to_diffusers.write_json(path / 'in' / 'preprocessor_config.json',
                          to_diffusers.preprocessor_config(sizes['clip_image']['size']))
  from_diffusers.convert(path / 'in', path / 'out')
  return model, path / 'out', tokenizer


@torch.no_grad()
def image_features(model, images):
  """Normalised pictures [n h w 3] -> [n d]."""
  pixels = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
  return model.visual_projection(model.vision_model(pixels).pooler_output).numpy()


@torch.no_grad()
def text_features(model, tokenizer, captions):
  """Captions, padded with the end token as OpenAI's CLIP does it -> [n d]."""
  tokens = torch.from_numpy(tokenizer(captions)).long()
  after = torch.cummax((tokens == tokenizer.eot).int(), dim=1).values.bool()
  tokens = tokens.masked_fill(after, tokenizer.eot)
  return model.text_projection(model.text_model(tokens).pooler_output).numpy()


def assert_close(got, want):
  assert want.std() > 0.01
  np.testing.assert_allclose(np.asarray(got), want, rtol=0, atol=1e-5)


def test_projected_features(world, both):
  model, path, tokenizer = both
  config, params, _ = checkpoint.load(path)
  parts = parts_lib.build(config.model)
  images = world.draw('pixels', (3, 224, 224, 3)) * 10
  assert_close(parts.apply('clip_image', params, images), image_features(model, images))
  pooled = parts.apply('clip_text', params, tokenizer(CAPTIONS))[1]
  assert_close(pooled, text_features(model, tokenizer, CAPTIONS))


def test_what_is_measured(both):
  """From 8-bit pictures of the tower's size, which are normalised alone, and from captions."""
  model, path, tokenizer = both
  clip = features.Clip(path)
  pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
  normal = (pictures / 255 - clip_resize.MEAN) / clip_resize.STD
  assert_close(clip.images(pictures),
               clip_lib.normalised(image_features(model, normal.astype(np.float32))))
  assert_close(clip.texts(CAPTIONS),
               clip_lib.normalised(text_features(model, tokenizer, CAPTIONS)))
