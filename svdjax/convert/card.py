"""The model card of an exported checkpoint."""

import json

LOAD = '''```python
from diffusers import StableVideoDiffusionPipeline
{resize}pipeline = StableVideoDiffusionPipeline.from_pretrained(FOLDER)
frames = pipeline(image, height={height}, width={width}, num_frames={frames}, fps={fps:g},
                  min_guidance_scale={guidance_min:g}, max_guidance_scale={guidance_max:g},
                  num_inference_steps={steps}, decode_chunk_size={decode_chunk}).frames[0]
```'''
RELEASED_SIZE = 224  # of the image encoder's pictures, fixed in diffusers' pipeline
RESIZE = '''\
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as svd
antialias = svd._resize_with_antialiasing
# The pipeline asks for 224 pixels; this image encoder takes {size}.
svd._resize_with_antialiasing = lambda image, _: antialias(image, ({size}, {size}))
'''
TRIANGLE = '''The guidance it was sampled with rises to the middle frame and falls again
(`triangle`). The pipeline cannot do that: its guidance rises to the last frame.

'''
PARTS = '''diffusers has no pipeline for this kind of model; each folder loads by itself, as in
`UNetSpatioTemporalConditionModel.from_pretrained(FOLDER, subfolder='unet')`.'''


def text(found, pipeline, source):
  """README.md of an exported model, with the metadata that model hubs read.

  Args:
    found: export.Checkpoint.
    pipeline: whether the folder is a whole pipeline.
    source: the checkpoint, as the user named it.
  """
  config = found.config
  kind = 'text-to-video' if found.text else 'image-to-video'
  numbers = found.data | config.sample.to_dict() | {'fps': float(min(config.data.fps))}
  size = 0 if found.text else found.model['clip_image']['size']
  numbers['decode_chunk'] = numbers.get('decode_chunk') or found.data['frames']
  if numbers['guidance'] == 'constant':  # the pipeline's schedule is linear
    numbers['guidance_min'] = numbers['guidance_max']
  numbers['resize'] = RESIZE.format(size=size) if size not in (0, RELEASED_SIZE) else ''
  trained = f'step {found.step}, {"raw weights" if found.raw else "moving average of the weights"}'
  lines = [
      '---', 'library_name: diffusers', f'pipeline_tag: {kind}', 'tags:', '- svdjax', '---', '',
      f'# {found.path.name}', '',
      f'Latent diffusion model ({kind}) with the architecture of Stable Video Diffusion '
      f'(arXiv 2311.15127), {found.data["frames"]} frames of {found.data["height"]}×'
      f'{found.data["width"]}, exported from the svdjax checkpoint `{source}` '
      f'({trained if found.step else "converted"}).', '',
      '## Use', '', LOAD.format(**numbers) if pipeline else PARTS, '',
      'diffusers counts `fps` from the file\'s and tells the model one less, as svdjax does. '
      'It computes some group norms with an epsilon of 1e-6 where the original code has 1e-5; '
      f'this model had those of "{found.model["unet"]["norm_eps"]}".', '',
      TRIANGLE * (pipeline and numbers['guidance'] == 'triangle') + '## Training', '',
      'Data, licence, evaluation and limits are for whoever publishes the model to state. The '
      'resolved config of the last stage:', '',
      '```json', json.dumps(config.to_dict(), indent=2, default=list), '```', '']
  return '\n'.join(lines)
