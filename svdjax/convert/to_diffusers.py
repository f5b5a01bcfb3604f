"""An svdjax checkpoint to a folder that diffusers loads."""

import json

from svdjax.convert import card, deepen, export, store
from svdjax.convert.from_diffusers import COMPONENTS
from svdjax.core import weights
from svdjax.core.errors import BadInput
from svdjax.models import clip_resize
from svdjax.models.tokenizer import Tokenizer
from svdjax.presets import VIDEO

VERSION = '0.32.0'  # of diffusers whose configs are written


def unet_config(unet, data):
  """config.json of a UNetSpatioTemporalConditionModel."""
  cross = unet['attention']
  heads = unet['head_dim'] if isinstance(unet['head_dim'], (list, tuple)) else (
      [unet['head_dim']] * len(cross))
  block = lambda way, with_attention: (
      f'{"CrossAttn" if with_attention else ""}{way}BlockSpatioTemporal')
  return dict(
      _class_name='UNetSpatioTemporalConditionModel',
      sample_size=max(data['height'], data['width']) // 8,
      in_channels=unet['in_channels'], out_channels=unet['out_channels'],
      down_block_types=[block('Down', a) for a in cross],
      up_block_types=[block('Up', a) for a in cross[::-1]],
      block_out_channels=list(unet['channels']), layers_per_block=unet['blocks'],
      num_attention_heads=[c // h for c, h in zip(unet['channels'], heads)],
      cross_attention_dim=unet['context_dim'], transformer_layers_per_block=1,
      addition_time_embed_dim=data['scalar_dim'],
      projection_class_embeddings_input_dim=unet['vector_dim'], num_frames=data['frames'])


def vae_config(vae, data):
  """config.json of an AutoencoderKLTemporalDecoder, or an AutoencoderKL where it is the image's."""
  levels = len(vae['channels'])
  common = dict(
      in_channels=3, out_channels=3, block_out_channels=list(vae['channels']),
      down_block_types=['DownEncoderBlock2D'] * levels, layers_per_block=vae['blocks'],
      latent_channels=vae['latent_channels'], sample_size=max(data['height'], data['width']),
      scaling_factor=vae['scale'], force_upcast=True)
  if vae['temporal']:
    return dict(_class_name='AutoencoderKLTemporalDecoder') | common
  return dict(
      _class_name='AutoencoderKL', up_block_types=['UpDecoderBlock2D'] * levels, act_fn='silu',
      norm_num_groups=vae['groups'], use_post_quant_conv=vae['post_quant'], **common)


def clip_image_config(clip, _):
  """config.json of a CLIPVisionModelWithProjection."""
  return dict(
      architectures=['CLIPVisionModelWithProjection'], model_type='clip_vision_model',
      hidden_size=clip['width'], intermediate_size=clip['mlp'], num_hidden_layers=clip['layers'],
      num_attention_heads=clip['heads'], patch_size=clip['patch'], image_size=clip['size'],
      projection_dim=clip['projection'], hidden_act=clip.get('act', 'gelu'), layer_norm_eps=1e-5)


def clip_text_config(clip, _):
  """config.json of a CLIPTextModel."""
  projected = clip['projection'] is not None
  return dict(
      architectures=['CLIPTextModelWithProjection' if projected else 'CLIPTextModel'],
      model_type='clip_text_model', hidden_size=clip['width'], intermediate_size=clip['mlp'],
      num_hidden_layers=clip['layers'], num_attention_heads=clip['heads'],
      max_position_embeddings=clip['context'], vocab_size=clip['vocab'],
      projection_dim=clip['projection'] or clip['width'], hidden_act=clip.get('act', 'gelu'),
      layer_norm_eps=1e-5, bos_token_id=clip['vocab'] - 2, eos_token_id=clip['vocab'] - 1,
      pad_token_id=0)


CONFIGS = {'unet': unet_config, 'vae': vae_config, 'clip_image': clip_image_config,
           'clip_text': clip_text_config}


def scheduler_config(sample):
  """config of the EulerDiscreteScheduler that samples as svdjax does (svd_model 5.5, 9)."""
  return dict(
      _class_name='EulerDiscreteScheduler', prediction_type='v_prediction',
      timestep_type='continuous', timestep_spacing='leading', use_karras_sigmas=True,
      sigma_min=sample['sigma_min'], sigma_max=sample['sigma_max'], beta_start=0.00085,
      beta_end=0.012, beta_schedule='scaled_linear', steps_offset=1, num_train_timesteps=1000,
      interpolation_type='linear', set_alpha_to_one=False, skip_prk_steps=True, clip_sample=False,
      trained_betas=None)


def preprocessor_config(size):
  """config of the CLIPImageProcessor."""
  return dict(
      image_processor_type='CLIPImageProcessor', do_resize=True, do_center_crop=True,
      do_normalize=True, do_rescale=True, do_convert_rgb=True, rescale_factor=1 / 255, resample=3,
      size={'shortest_edge': size}, crop_size={'height': size, 'width': size},
      image_mean=list(clip_resize.MEAN), image_std=list(clip_resize.STD))


def write_json(path, content):
  """Writes a config, its folder made where needed."""
  path.parent.mkdir(exist_ok=True)
  path.write_text(json.dumps(content, indent=2) + '\n')


def convert(path, folder, dtype=None, raw=False):
  """Writes the folder of a checkpoint: a pipeline where diffusers has one, else its components.

  Args:
    path: workdir or converted checkpoint of a video model.
    folder: to write.
    dtype: 'float32', 'bfloat16', 'float16', or None for that of the checkpoint's UNet.
    raw: raw weights instead of their moving average.

  Raises:
    BadInput: a model that diffusers cannot run, a folder that exists, or not enough disk.
  """
  found = export.Checkpoint(path, raw)
  if found.config.diffusion.precondition != 'edm_v':
    raise BadInput(f'checkpoint {path} has preconditioning {found.config.diffusion.precondition}: '
                   'diffusers samples video models of edm_v alone')
  vae = found.model['vae']
  least = vae['blocks'] if vae['temporal'] else 2
  if found.middle < least or not vae['temporal'] and found.middle > least:
    raise BadInput(f'checkpoint {path} has {found.middle} ResBlocks in the middle of its decoder, '
                   f'where diffusers has {least}: train one with config.model.vae.middle={least}')
  names = ('unet', 'vae', 'clip_text' if found.text else 'clip_image')
  own = store.shapes_of('vae', vae)
  if vae['temporal']:  # diffusers has as many ResBlocks in the middle as in a level
    found.model['vae'] = vae | dict(blocks=found.middle)
  mappings = {n: found.mapping(n, 'diffusers') for n in names}
  dtype = found.dtype(dtype, mappings['unet'].shapes)
  total = sum(s.nbytes for m in mappings.values() for s in m.their_specs(dtype).values())
  weights.require_disk(folder, total)
  meter = store.Meter(total)
  with store.new_folder(folder) as out:
    for network, mapping in mappings.items():
      name, stem, _ = COMPONENTS[network]
      write_json(out / name / 'config.json', CONFIGS[network](found.model[network], found.data))
      source = found.load(network, own if network == 'vae' else mapping.shapes)
      source = deepen.Deepened(source, mapping.shapes) if network == 'vae' else source
      weights.write(out / name / f'{stem}.safetensors', mapping.their_specs(dtype),
                    meter(mapping.to_theirs(source, dtype)), {'format': 'pt'})
    _write_rest(found, out, path)


def _write_rest(found, out, path):
  """Scheduler, pre-processing, index and model card."""
  write_json(out / 'scheduler' / 'scheduler_config.json',
             scheduler_config(found.config.sample.to_dict()))
  pipeline = not found.text and tuple(found.config.conditioning.scalars) == VIDEO
  if found.text:
    Tokenizer.load(found.path / 'assets').save(out / 'tokenizer')
  else:
    write_json(out / 'feature_extractor' / 'preprocessor_config.json',
               preprocessor_config(found.model['clip_image']['size']))
  if pipeline:
    write_json(out / 'model_index.json', dict(
        _class_name='StableVideoDiffusionPipeline', _diffusers_version=VERSION,
        feature_extractor=['transformers', 'CLIPImageProcessor'],
        image_encoder=['transformers', 'CLIPVisionModelWithProjection'],
        scheduler=['diffusers', 'EulerDiscreteScheduler'],
        unet=['diffusers', 'UNetSpatioTemporalConditionModel'],
        vae=['diffusers', vae_config(found.model['vae'], found.data)['_class_name']]))
  (out / 'README.md').write_text(card.text(found, pipeline, str(path)))
