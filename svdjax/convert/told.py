"""What the config.json of a folder says, beside what its tensors tell."""

import pathlib

from svdjax.core import json_dict
from svdjax.core.errors import BadInput

# {network: {field of config.json: (field of ours, what the library takes where it is left out)}};
# diffusers leaves nothing out, transformers what has its default value.
FIELDS = {
    'unet': {'block_out_channels': ('channels', None), 'layers_per_block': ('blocks', None),
             'in_channels': ('in_channels', None), 'out_channels': ('out_channels', None),
             'cross_attention_dim': ('context_dim', None), 'down_block_types': ('attention', None),
             'projection_class_embeddings_input_dim': ('vector_dim', None)},
    'vae': {'block_out_channels': ('channels', None), 'layers_per_block': ('blocks', None),
            'latent_channels': ('latent_channels', None)},
    'clip_image': {'hidden_size': ('width', 768), 'num_hidden_layers': ('layers', 12),
                   'intermediate_size': ('mlp', 3072), 'patch_size': ('patch', 32),
                   'image_size': ('size', 224), 'projection_dim': ('projection', 512)},
    'clip_text': {'hidden_size': ('width', 512), 'num_hidden_layers': ('layers', 12),
                  'intermediate_size': ('mlp', 2048), 'max_position_embeddings': ('context', 77),
                  'vocab_size': ('vocab', 49408)},
}


def read_json(path):
  """The dict of a JSON file; BadInput if it is missing or damaged."""
  try:
    text = pathlib.Path(path).read_text(errors='replace')
  except FileNotFoundError:
    raise BadInput(f'{path} is missing: download the folder again') from None
  return json_dict.parse(text, path, 'download it again')


def refuse(where, field, value, wanted):
  """Raises the BadInput of a field whose value svdjax does not compute with."""
  raise BadInput(f'{where} has {field} {value!r}, and svdjax computes {wanted!r} alone: this is '
                 'another model')


def require(config, where, **fields):
  """Refuses a config that lists other values than `fields`; a missing field is the default."""
  for field, wanted in fields.items():
    if config.get(field, wanted) != wanted:
      refuse(where, field, config[field], wanted)


def check(network, config, found, where):
  """Refuses a network whose tensors are not those of its config.json.

  Args:
    network: its name.
    config: of its config.json; a field that is None or left out says nothing.
    found: its sizes, told by its tensors.
    where: its folder, for the message.

  Raises:
    BadInput: names the first field of another value.
  """
  for field, (ours, default) in FIELDS[network].items():
    told = config.get(field, default)
    if told is not None and not _same(field, told, found[ours]):
      raise BadInput(f'{where}: config.json has {field} {told} and the tensors make it '
                     f'{found[ours]}: tensors are missing, or one of both is of another model')


def _same(field, told, found):
  if field == 'down_block_types' and isinstance(told, list):
    told = ['Attn' in str(name) for name in told]
  if isinstance(found, tuple) or not isinstance(told, list):
    return told == (list(found) if isinstance(found, tuple) else found)
  return all(each == found for each in told)  # one number a level
