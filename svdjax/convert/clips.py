"""CLIP in the layout of transformers: a tower alone, or a CLIPModel folder of both."""

import pathlib
import re

from svdjax.convert import recipe, sizes, store, table, told
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.models import clip_layers, clip_resize
from svdjax.models.tokenizer import Tokenizer

MODEL = 'CLIPModel'
# {network: (its fields in config.json, prefixes of its tensors)}.
TOWERS = {'clip_image': ('vision_config', ('vision_model.', 'visual_projection.')),
          'clip_text': ('text_config', ('text_model.', 'text_projection.'))}
UNUSED = ('logit_scale', *table.UNUSED['diffusers'])
# What transformers takes for fields that config.json leaves out.
ACTIVATION, EPSILON, HEADS = 'quick_gelu', 1e-5, {'clip_image': 12, 'clip_text': 8}
PROJECTION, END = 512, 49407
LARGEST = 2  # an eos_token_id of older configs: the text is read at its largest id


def activation(config, where):
  """{} of a tower with exact GELU, else {'act': its name}; BadInput if svdjax has none such."""
  act = config.get('hidden_act', ACTIVATION)
  if act not in clip_layers.ACTIVATIONS:
    told.refuse(where, 'hidden_act', act, ' or '.join(clip_layers.ACTIVATIONS))
  return {} if act == 'gelu' else {'act': act}


def image_sizes(specs, config, where):
  """The sizes of an image tower."""
  act = activation(config, where)
  told.require(config, where, layer_norm_eps=EPSILON)
  heads = config.get('num_attention_heads', HEADS['clip_image'])
  return sizes.clip_image(specs, 'diffusers', heads, where) | act


def text_sizes(specs, config, where):
  """The sizes of a text tower."""
  act = activation(config, where)
  told.require(config, where, layer_norm_eps=EPSILON)
  return sizes.clip_text(specs, config.get('num_attention_heads', HEADS['clip_text']), where) | act


def require_preprocessing(path):
  """Refuses a preprocessor_config.json whose pictures are normalised otherwise than CLIP's."""
  told.require(told.read_json(path), path, image_mean=list(clip_resize.MEAN),
               image_std=list(clip_resize.STD), do_normalize=True)


def is_model(folder):
  """Whether a folder is that of a CLIPModel."""
  file = pathlib.Path(folder) / 'config.json'
  return file.is_file() and MODEL in (told.read_json(file).get('architectures') or ())


def tower_config(config, network):
  """The fields of one tower in a CLIPModel's config.json.

  Older files have them twice; transformers takes those under `…_config_dict` where there are any.
  """
  field, _ = TOWERS[network]
  own = next((c for c in (config.get(f'{field}_dict'), config.get(field)) if c is not None), {})
  return own | {'projection_dim': config.get('projection_dim', PROJECTION)}


def read(folder):
  """({network: store.Network}, Tokenizer) of a CLIPModel folder.

  Raises:
    BadInput: a tensor is missing, extra or misshapen, or svdjax would compute something else.
  """
  folder = pathlib.Path(folder)
  config = told.read_json(folder / 'config.json')
  source = weights.Weights(weights.find(folder, 'model'))
  names = [n for n in source.specs if not any(re.fullmatch(p, n) for p in UNUSED)]
  image = [n for n in names if n.startswith(TOWERS['clip_image'][1])]
  own = {'clip_image': image, 'clip_text': [n for n in names if n not in set(image)]}
  networks = {}
  for network, sizes_of in (('clip_image', image_sizes), ('clip_text', text_sizes)):
    tensors = source.select({n: n for n in own[network]})
    fields = tower_config(config, network)
    found = sizes_of(tensors.specs, fields, folder)
    told.check(network, fields, found, folder)
    networks[network] = store.network(network, found, tensors, 'diffusers', folder)
  tokenizer = Tokenizer.load(folder)
  _check_text(networks, tokenizer, tower_config(config, 'clip_text'), folder)
  return networks, tokenizer


def _check_text(networks, tokenizer, config, folder):
  """Refuses a text tower that does not go with the image tower or with the tokenizer."""
  image, text = (networks[n].sizes for n in ('clip_image', 'clip_text'))
  if text['projection'] != image['projection']:
    raise BadInput(f'{folder}: text_projection.weight makes vectors of {text["projection"]} and '
                   f'visual_projection.weight of {image["projection"]}: give a {MODEL}, whose '
                   'towers make vectors of one length')
  for what, ours, theirs in (('tokens', tokenizer.vocab_size, text['vocab']),
                             ('ids a caption', tokenizer.context, text['context'])):
    if ours != theirs:
      raise BadInput(f'{folder}: the tokenizer has {ours} {what} and the text tower {theirs}: take '
                     'both from the same model')
  end = config.get('eos_token_id', END)
  if end not in (LARGEST, tokenizer.eot):
    told.refuse(folder, 'eos_token_id', end, tokenizer.eot)


def convert(folder, path, dtype=None, preset=None):
  """Writes the svdjax checkpoint of a CLIPModel folder: both towers and the tokenizer.

  Args:
    folder, path, dtype: as of from_diffusers.convert.
    preset: None; there is nothing to sample.

  Raises:
    BadInput: as `read` and `store.write_checkpoint`, or a preset is asked for.
  """
  if preset:
    raise BadInput(f'--preset {preset} is of a model of videos, and {folder} holds a {MODEL}: drop '
                   'it')
  require_preprocessing(pathlib.Path(folder) / 'preprocessor_config.json')
  networks, tokenizer = read(folder)
  dtype = store.dtype_of(dtype, [n.source for n in networks.values()])
  config = recipe.clip({n: x.sizes for n, x in networks.items()}, dtype)
  store.write_checkpoint(path, config, networks, dtype, tokenizer.save)
