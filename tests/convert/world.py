"""Small networks of the released kind with weights that come from the names of their tensors.

PyTorch's side of a comparison (make_reference.py, and the parity tests) and ours draw the same
numbers from the same names, so that neither weights nor inputs need to be stored.
"""

import json
import zlib

import numpy as np
from safetensors.numpy import save_file

from svdjax.convert import store, to_diffusers
from svdjax.convert.from_diffusers import COMPONENTS
from svdjax.convert.mapping import Mapping, depth
from svdjax.core import weights
from svdjax.models.tokenizer import Tokenizer


def unet(channels, heads, blocks, context, scalar, attention=None, **more):
  """Sizes of a video UNet with `heads` in each level and `scalar` features of each scalar."""
  attention = attention or (True,) * (len(channels) - 1) + (False,)
  widths = tuple(c // h for c, h in zip(channels, heads))
  return dict(in_channels=8, out_channels=4, channels=channels, attention=attention, blocks=blocks,
              head_dim=widths[0] if len(set(widths)) == 1 else widths, context_dim=context,
              vector_dim=3 * scalar, temporal='svd', groups=32, norm_eps='diffusers',
              remat='none') | more


UNETS = {
    'A': unet((32, 64, 128, 128), (2, 4, 8, 8), 2, 48, 32),  # the topology of SVD
    'A64': unet((64, 128, 256, 256), (1, 2, 4, 4), 2, 64, 32),  # and its head size
    'B': unet((32, 32, 32, 32), (2, 2, 2, 2), 1, 16, 8),
    'C': unet((32, 64), (2, 4), 1, 32, 32),
    'uneven heads': unet((64, 64, 96), (1, 4, 2), 1, 24, 16),
    'attention everywhere': unet((32, 64), (2, 2), 2, 40, 10, attention=(True, True)),
}
VAES = {
    'A': dict(channels=(32, 64, 64, 64), blocks=2, latent_channels=4, groups=32, temporal=True,
              post_quant=False, middle=2, scale=0.18215, remat='none'),
    'B': dict(channels=(32, 32, 32, 32), blocks=1, latent_channels=4, groups=32, temporal=True,
              post_quant=False, middle=1, scale=0.18215, remat='none'),
    'image': dict(channels=(32, 64), blocks=1, latent_channels=4, groups=32, temporal=False,
                  post_quant=True, middle=2, scale=0.18215, remat='none'),
}
CLIPS = {
    'image': dict(width=32, layers=2, heads=4, mlp=64, patch=56, size=224, projection=32),
    'parity': dict(width=64, layers=4, heads=4, mlp=256, patch=14, size=56, projection=48),
    'text': dict(width=32, layers=2, heads=4, mlp=64, context=9, vocab=700, projection=None),
}
VIDEO = {'unet': UNETS['C'], 'vae': VAES['A'] | dict(channels=(32, 32), blocks=2),
         'clip_image': CLIPS['image']}
TEXT_VIDEO = {'unet': UNETS['C'] | dict(in_channels=4), 'vae': VAES['image'],
              'clip_text': CLIPS['text']}
IMAGE = {'unet': UNETS['C'] | dict(in_channels=4, temporal='none', vector_dim=0, norm_eps='sgm'),
         'vae': VAES['image'], 'clip_text': CLIPS['text']}
DATA = dict(frames=3, height=64, width=96, scalar_dim=32)


def draw(name, shape):
  """A tensor from its name: matrices N(0, 1 / fan in), norms near 1, mix factors N(0, 1)."""
  x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
  if name.endswith('mix_factor'):
    return x
  if len(shape) > 1 and 'embedding.' not in name.rpartition('embeddings.')[2]:
    return x * np.float32(np.prod(shape[1:]) ** -0.5)
  is_norm = len(shape) == 1 and name.endswith('weight')
  return np.float32(1) * is_norm + np.float32(0.1) * x


def mapping(network, sizes, dialect='diffusers'):
  """The Mapping of a network with these sizes."""
  return Mapping(network, store.shapes_of(network, sizes), dialect, depth(network, sizes))


def params(network, sizes):
  """{name without the network: array} of ours, drawn by diffusers' names."""
  found = mapping(network, sizes)
  drawn = weights.Loaded({name: draw(name, shape) for name, shape in found.theirs.items()})
  pieces = {}
  for name, array in found.to_ours(drawn, np.dtype(np.float32)):
    pieces.setdefault(name.removeprefix(network + '/'), []).append(array)
  return {name: np.stack(arrays) if '/layers/' in name else arrays[0]
          for name, arrays in pieces.items()}


def unet_inputs(sizes, frames=3, height=8, width=6):
  """(x [b t h w c], c_noise [b], context [b 1 e], scalars [b 3]) of two clips that differ."""
  shape = (2, frames, height, width, sizes['in_channels'])
  return (draw('input', shape) * np.sqrt(width, dtype=np.float32) * 4,
          np.array([-0.7, 1.3], np.float32), draw('context', (2, 1, sizes['context_dim'])) * 5,
          np.array([[6., 127., 0.02], [24., 3., 0.1]], np.float32))


def write_folder(path, model, scheduler=None):
  """A folder in diffusers' layout with drawn weights, written without svdjax's own exporter."""
  for network, sizes in model.items():
    name, stem, _ = COMPONENTS[network]
    config = to_diffusers.CONFIGS[network](sizes, DATA)
    if network == 'unet' and sizes['temporal'] == 'none':
      heads = [c // sizes['head_dim'] for c in sizes['channels']]
      config = dict(_class_name='UNet2DConditionModel', attention_head_dim=heads)
    (path / name).mkdir(parents=True)
    (path / name / 'config.json').write_text(json.dumps(config))
    found = mapping(network, sizes)
    specs = found.their_specs(np.dtype(np.float32))
    weights.write(path / name / f'{stem}.safetensors', specs,
                  ((n, draw(n, s.shape)) for n, s in specs.items()))
  kind = 'StableVideoDiffusionPipeline' if 'clip_image' in model else 'StableDiffusionPipeline'
  if model is not TEXT_VIDEO:
    (path / 'model_index.json').write_text(json.dumps({'_class_name': kind}))
  else:
    kind = None
  (path / 'scheduler').mkdir()
  sample = dict(sigma_min=0.002, sigma_max=700.)
  (path / 'scheduler' / 'scheduler_config.json').write_text(
      json.dumps(scheduler or to_diffusers.scheduler_config(sample)))
  if 'clip_image' in model:
    to_diffusers.write_json(path / 'feature_extractor' / 'preprocessor_config.json',
                            to_diffusers.preprocessor_config(model['clip_image']['size']))
  if 'clip_text' in model:
    Tokenizer.train(['a red circle moving left'], 600, 9).save(path / 'tokenizer')
  return path


def clip_config(image, text, eos, dicts=False):
  """config.json of a CLIPModel with towers of these sizes; `dicts` as the oldest files have it."""
  towers = {'vision_config': to_diffusers.clip_image_config(image, DATA),
            'text_config': to_diffusers.clip_text_config(text, DATA) | dict(eos_token_id=eos)}
  for fields in towers.values():  # what transformers leaves out, and what it ignores there
    fields.pop('architectures')
    fields['projection_dim'] = 7
    if fields['hidden_act'] == 'quick_gelu':
      fields.pop('hidden_act')
  if dicts:
    towers |= {f'{n}_dict': x for n, x in towers.items()}
    towers |= {n: dict(hidden_act='relu') for n in ('vision_config', 'text_config')}
  return dict(architectures=['CLIPModel'], model_type='clip', projection_dim=image['projection'],
              logit_scale_init_value=2.6592, **towers)


def clip_sizes(act='gelu'):
  """({network: sizes} of a small CLIP of activation `act`, its Tokenizer)."""
  tokenizer = Tokenizer.train(['a red circle moving left'], 600, 9)
  more = {} if act == 'gelu' else {'act': act}
  text = CLIPS['text'] | dict(projection=CLIPS['image']['projection'], vocab=tokenizer.vocab_size)
  return {'clip_image': CLIPS['image'] | more, 'clip_text': text | more}, tokenizer


def write_clip(path, act='gelu', eos=None, dicts=False):
  """A CLIPModel folder with drawn weights, older buffers among them."""
  model, tokenizer = clip_sizes(act)
  config = clip_config(*model.values(), tokenizer.eot if eos is None else eos, dicts)
  tokenizer.save(path)
  to_diffusers.write_json(path / 'config.json', config)
  to_diffusers.write_json(path / 'preprocessor_config.json',
                          to_diffusers.preprocessor_config(model['clip_image']['size']))
  tensors = {name: draw(name, shape) for network, sizes in model.items()
             for name, shape in mapping(network, sizes).theirs.items()}
  for tower in ('text', 'vision'):
    tensors[f'{tower}_model.embeddings.position_ids'] = np.arange(9)[None]
  save_file(tensors | {'logit_scale': np.asarray(4.6, np.float32)}, path / 'model.safetensors')
  return path
