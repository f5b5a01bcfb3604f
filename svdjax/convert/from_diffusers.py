"""A folder in the layout of diffusers to an svdjax checkpoint."""

import pathlib
import re

from svdjax.convert import clips, mapping, recipe, sizes, store, table, told
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.models.tokenizer import Tokenizer
from svdjax.presets import POSED, of_model

# Component folders: (name, stem of the weights, classes that can be read).
COMPONENTS = {
    'unet': ('unet', 'diffusion_pytorch_model',
             ('UNetSpatioTemporalConditionModel', 'UNet2DConditionModel')),
    'vae': ('vae', 'diffusion_pytorch_model', ('AutoencoderKLTemporalDecoder', 'AutoencoderKL')),
    'clip_image': ('image_encoder', 'model', ('CLIPVisionModelWithProjection',)),
    'clip_text': ('text_encoder', 'model', ('CLIPTextModel', 'CLIPTextModelWithProjection')),
}
PIPELINES = {
    'StableVideoDiffusionPipeline': ('image-to-video', ('unet', 'vae', 'clip_image')),
    'StableDiffusionPipeline': ('text-to-image', ('unet', 'vae', 'clip_text')),
}
# Told by their folders, for diffusers has no pipeline for them: text-to-video models, and SV3D.
COMPONENTS_ALONE = (('text-to-video', ('unet', 'vae', 'clip_text')),
                    ('image-to-video', ('unet', 'vae', 'clip_image')))


def kind_of(folder):
  """(kind, networks) of a folder, by the class that its files name; BadInput for other classes."""
  folder = pathlib.Path(folder)
  if folder.is_file():
    raise BadInput(f'{folder} is a file: from-diffusers takes a folder, from-sgm a file')
  if not folder.is_dir():
    raise BadInput(f'{folder} is not a folder: check the path')
  if (folder / 'model_index.json').is_file():
    name = told.read_json(folder / 'model_index.json').get('_class_name')
    if name not in PIPELINES:
      raise BadInput(f'{folder} holds a {name}: give the folder of a {" or a ".join(PIPELINES)}')
    return PIPELINES[name]
  for kind, names in COMPONENTS_ALONE:
    if all((folder / COMPONENTS[name][0]).is_dir() for name in names):
      return kind, names
  raise BadInput(f'{folder} has no model_index.json: give the folder of a '
                 f'{" or a ".join((*PIPELINES, clips.MODEL))}')


def unet_sizes(specs, config, where):
  """The sizes of a UNet folder."""
  per_block = config.get('transformer_layers_per_block', 1)
  if {*(per_block if isinstance(per_block, list) else [per_block])} != {1}:
    told.refuse(where, 'transformer_layers_per_block', per_block, 1)
  video = config['_class_name'] == 'UNetSpatioTemporalConditionModel'
  if not video:
    told.require(config, where, norm_num_groups=32, norm_eps=1e-5, act_fn='silu', freq_shift=0,
                 flip_sin_to_cos=True, center_input_sample=False, mid_block_scale_factor=1,
                 only_cross_attention=False, downsample_padding=1,
                 resnet_time_scale_shift='default')
  heads = config.get('num_attention_heads')
  if heads is None:  # what diffusers takes then; an image UNet's attention_head_dim is a number
    heads = (5, 10, 20, 20) if video else config.get('attention_head_dim', 8)
  found = sizes.unet(specs, 'diffusers', where)
  return found | dict(
      head_dim=sizes.head_dim(heads, found['channels'], f'{where}/config.json'), groups=32,
      norm_eps='diffusers' if video else 'sgm', remat='none')


def vae_sizes(specs, config, where):
  """The sizes of an autoencoder folder."""
  told.require(config, where, norm_num_groups=32, act_fn='silu', shift_factor=None,
               mid_block_add_attention=True)
  return sizes.vae(specs, 'diffusers', where=where) | dict(
      groups=32, scale=config.get('scaling_factor', 0.18215), remat='none')


def clip_text_sizes(specs, config, where):
  """The sizes of a text encoder folder, whose states at all tokens are used."""
  if clips.activation(config, where):
    raise BadInput(f"{where} has the hidden_act of OpenAI's CLIP, for which captions are padded "
                   'with the end token, and svdjax pads with 0: this is another model')
  return clips.text_sizes(specs, config, where)


SIZES = {'unet': unet_sizes, 'vae': vae_sizes, 'clip_image': clips.image_sizes,
         'clip_text': clip_text_sizes}


def component(folder, network):
  """One component folder as (config.json, store.Network)."""
  name, stem, classes = COMPONENTS[network]
  path = pathlib.Path(folder) / name
  if not path.is_dir():
    raise BadInput(f'{folder} has no {name} folder: download it again')
  config = told.read_json(path / 'config.json')
  made = config.get('_class_name') or (config.get('architectures') or [None])[0]
  if made is None:
    raise BadInput(f'{path}/config.json names no class, by _class_name or architectures: download '
                   'it again')
  if made not in classes:
    raise BadInput(f'{path} holds a {made}: give a model whose {name} is a '
                   f'{" or a ".join(classes)}')
  source = weights.Weights(weights.find(path, stem))
  unused = table.UNUSED['diffusers']
  names = [n for n in source.specs if not any(re.fullmatch(p, n) for p in unused)]
  source = source.select({mapping.spelling(n, network): n for n in names})
  found = SIZES[network](source.specs, config, path)
  told.check(network, config, found, path)
  return config, store.network(network, found, source, 'diffusers', path)


def sampling(folder, kind):
  """(precondition, (smallest, largest sigma)) of the scheduler's config."""
  path = pathlib.Path(folder) / 'scheduler' / 'scheduler_config.json'
  config = told.read_json(path)
  prediction = config.get('prediction_type', 'epsilon')
  if kind == 'text-to-image':
    told.require(config, path, beta_schedule='scaled_linear', beta_start=0.00085, beta_end=0.012,
                 num_train_timesteps=1000, trained_betas=None, rescale_betas_zero_snr=False)
    if prediction not in ('epsilon', 'v_prediction'):
      told.refuse(path, 'prediction_type', prediction, 'v_prediction')
    return {'epsilon': 'eps', 'v_prediction': 'v_discrete'}[prediction], (0.002, 700.)
  for field, wanted in (('prediction_type', 'v_prediction'), ('timestep_type', 'continuous'),
                        ('use_karras_sigmas', True)):
    if config.get(field) != wanted:
      told.refuse(path, field, config.get(field), wanted)
  low, high = config.get('sigma_min'), config.get('sigma_max')
  return 'edm_v', (low or 0.002, high or 700.)


def convert(folder, path, dtype=None, preset=None):
  """Writes the svdjax checkpoint of a diffusers folder.

  Args:
    folder: a saved pipeline, components of a text-to-video model or of SV3D, or a CLIPModel.
    path: folder to write.
    dtype: 'float32', 'bfloat16', 'float16', or None for that of the files.
    preset: a name in presets.PRESETS; by default told by sizes and frames.

  Raises:
    BadInput: the folder is not of a model that svdjax has, or damaged; see `store`.
  """
  if clips.is_model(folder):
    clips.convert(folder, path, dtype, preset)
    return
  kind, names = kind_of(folder)
  precondition, sigmas = sampling(folder, kind)
  if 'clip_image' in names:
    clips.require_preprocessing(
        pathlib.Path(folder) / 'feature_extractor' / 'preprocessor_config.json')
  configs, networks = {}, {}
  for name in names:
    configs[name], networks[name] = component(folder, name)
  unet = networks['unet'].sizes
  frames, scalar = (configs['unet'].get(field, default) for field, default in (
      ('num_frames', 25), ('addition_time_embed_dim', 256)))
  posed = kind == 'image-to-video' and unet['vector_dim'] == len(POSED) * scalar
  if not posed and unet['vector_dim'] not in (0, scalar, 3 * scalar, 5 * scalar):
    told.refuse(folder, 'projection_class_embeddings_input_dim', unet['vector_dim'], 3 * scalar)
  preset = recipe.preset_of(
      preset, '' if posed else of_model(frames, unet['vector_dim'], scalar))
  dtype = store.dtype_of(dtype, [n.source for n in networks.values()])
  config = recipe.config(kind, {n: x.sizes for n, x in networks.items()}, dtype, preset, sigmas,
                         precondition)
  if kind != 'text-to-image':
    config.data.frames = frames
  if posed:
    recipe.pose(config, 8 * (configs['unet'].get('sample_size') or 72))  # SV3D's 576 pixels
  assets = None
  if 'clip_text' in names:
    tokenizer = Tokenizer.load(pathlib.Path(folder) / 'tokenizer')
    assets = tokenizer.save
  store.write_checkpoint(path, config, networks, dtype, assets)
