"""Checks of a config before any long work."""

import math

import jax
import jax.numpy as jnp

from svdjax.core import mesh as mesh_lib, share
from svdjax.core.errors import BadInput
from svdjax.core.memory import available_bytes, peak_bytes
from svdjax.diffusion import precondition
from svdjax import generate, ranges, state
from svdjax.inputs.buckets import Size, sizes_of
from svdjax.generate import check_frames, check_size
from svdjax.models.remat import POLICIES
from svdjax.models.temporal import MIXERS
from svdjax.tasks import LOSSES, conditioning, parts as parts_lib


def check_config(config):
  """Raises BadInput for fields that cannot work, naming the field and a value that would."""
  if not config.data.source:
    raise BadInput('config.data.source is not set: make toy data with `python -m data.toyworld '
                   '--output toy` and pass --config.data.source=toy')
  if config.data.latents and config.task != 'denoising':
    raise BadInput(f'config.data.latents is for denoising stages, not for task {config.task}: '
                   'leave it out')
  ranges.check(config)
  if config.train.batch_size % config.train.accumulate:
    raise BadInput(f'config.train.batch_size {config.train.batch_size} is not divisible by '
                   f'config.train.accumulate {config.train.accumulate}: change one of them')
  check_buckets(config)
  _check_name('task', config.task, LOSSES)
  _check_name('train.dtype', config.train.dtype, ('float32', 'bfloat16'))
  _check_name('data.crop', config.data.crop, ('center', 'random'))
  sizes = [default_size(config.data), *sizes_of(config.data)]
  if 'diffusion' in config:
    _check_name('diffusion.precondition', config.diffusion.precondition,
                precondition.PRECONDITIONS)
    _check_name('conditioning.context', config.conditioning.context, conditioning.CONTEXTS)
    _check_name('conditioning.concat', config.conditioning.concat, ('', *conditioning.CONCATS))
    for size in sizes:
      check_frames(config, size.frames)
    _check_names(config)
  if 'unet' in config.model:
    _check_unet(config.model.unet)
  if 'vae' in config.model:
    _check_name('model.vae.remat', config.model.vae.get('remat', 'none'), POLICIES)
    for size in sizes:
      check_size(config, size.height, size.width)
  for size in sizes:
    check_split(config, size)
  if 'diffusion' in config:
    _check_sampling(config)


def _check_unet(unet):
  """Raises BadInput for a UNet that cannot be built."""
  _check_name('model.unet.temporal', unet.temporal, MIXERS)
  _check_name('model.unet.remat', unet.remat, POLICIES)
  _check_name('model.unet.norm_eps', unet.norm_eps, ('sgm', 'diffusers'))
  levels = len(unet.channels)
  for name in ('attention', 'head_dim'):
    values = unet[name]
    if isinstance(values, tuple) and len(values) != levels:
      raise BadInput(f'config.model.unet.{name} {values} is not of {levels} levels, as channels '
                     f'{unet.channels} are: give each level a value')


def _check_names(config):
  """Raises BadInput for names of the objective and of scalars that nothing knows."""
  _check_name('diffusion.sigma', config.diffusion.sigma, ('lognormal', 'discrete'))
  _check_name('diffusion.weight', config.diffusion.weight, precondition.WEIGHTS)
  for name in config.conditioning.scalars:
    _check_name('conditioning.scalars', name, conditioning.SCALARS)


def _check_sampling(config):
  """Raises BadInput where samples could not be drawn, which is found after training otherwise."""
  try:
    generate.grid(config, generate.settings(config))
  except BadInput as error:
    raise BadInput(f'config.sample: {error}') from None


def default_size(data):
  """The Size of clips of a config without its buckets; that of its previews in any case."""
  return Size(data.frames, data.height, data.width)


def check_buckets(config):
  """Raises BadInput for buckets that are no sizes, or of a stage that has one size alone."""
  data = config.data
  if not data.buckets:
    return
  for reason, applies in (('config.data.latents have one size', data.latents),
                          ('views of objects have one size', 'views' in data),
                          ('the learned mask has one size', 'mask' in config.model)):
    if applies:
      raise BadInput(f'config.data.buckets cannot be used here, where {reason}: leave them out')
  for bucket in data.buckets:
    whole = isinstance(bucket, (tuple, list)) and len(bucket) == 3 and all(
        isinstance(x, int) and x > 0 for x in bucket)
    if not whole:
      raise BadInput(f'config.data.buckets holds {bucket}: write (frames, height, width), as in '
                     f'(({data.frames}, {data.height}, {data.width}), '
                     f'({data.frames}, {data.width}, {data.height}))')


def check_split(config, size):
  """Raises BadInput unless frames and latents can be shared by config.mesh.frame devices."""
  parts = config.mesh.frame
  if parts == 1:
    return
  if config.task == 'contrastive':
    raise BadInput(f'config.mesh.frame is {parts} and a contrastive stage sees one frame of a '
                   'clip: set it to 1')
  if size.frames % parts:
    raise BadInput(f'config.data.frames {size.frames} is not divisible by config.mesh.frame '
                   f'{parts}: change one of them')
  unit = 2 ** (len(config.model.vae.channels) - 1)
  deepest = unit * (2 ** (len(config.model.unet.channels) - 1) if 'unet' in config.model else 1)
  latents = size.height // deepest * (size.width // deepest)
  if latents % parts:
    raise BadInput(f'the smallest feature map of {size.height}x{size.width} pixels has {latents} '
                   f'positions, which config.mesh.frame {parts} does not divide: change one of '
                   'them')


def check_mesh(config, mesh):
  """Raises BadInput unless the clips of each piece of a batch can be spread over the mesh."""
  pieces = config.train.accumulate
  name = 'config.train.batch_size' + (f' / accumulate {pieces}' if pieces > 1 else '')
  mesh_lib.check_clips(config.train.batch_size // pieces,
                       mesh.shape['data'] * mesh.shape['fsdp'], name)


def _check_name(field, value, known):
  if value not in known:
    raise BadInput(f'config.{field} "{value}" is unknown: use one of {", ".join(known)}')


def largest_size(data):
  """The Size of config.data, of its buckets the one with the most pixels."""
  return max(sizes_of(data), key=lambda size: size.frames * size.height * size.width)


def abstract_batch(config):
  """Shapes of a training batch of this config; of its buckets, of the largest."""
  b, d = config.train.batch_size, config.data
  shape = jax.ShapeDtypeStruct
  batch = {'video': shape((b, *largest_size(d), 3), jnp.uint8),
           'fps': shape((b,), jnp.float32), 'motion': shape((b,), jnp.float32),
           'index': shape((b,), jnp.int32)}
  if 'views' in d and d.views == 'orbit':
    batch['elevation'] = shape((b,), jnp.float32)
  if 'clip_text' in config.model:
    batch['tokens'] = shape((b, config.model.clip_text.context), jnp.int32)
  return batch


def check_pixels(clips, size, remedy):
  """Raises BadInput if memory does not hold even the pixels of clips of a Size, 3 bytes each."""
  require(3 * clips * math.prod(size), f'{clips} x {size.frames} frames of {size.height}x'
          f'{size.width} pixels', remedy)


def check_memory(config, parts, initial, frozen, mesh, batch=None):
  """The bytes that a training step is predicted to need; raises BadInput if there are not so many.

  `batch` is one like those of training, by default the shapes of `abstract_batch`.
  """
  jaxpr = share.trace(state.make_step(config, parts), dict(mesh.shape), initial, frozen,
                      batch or abstract_batch(config), state.numbers_at(config, 0))
  platform = mesh.devices.flat[0].platform
  predicted = share.step_peak(jaxpr, initial, frozen, dict(mesh.shape), platform,
                              available_bytes() or math.inf)
  if platform == 'cpu':  # devices of a host share its memory
    predicted *= len(mesh.local_devices)
  size, network = largest_size(config.data), 'unet' if 'unet' in config.model else 'vae'
  remedy = 'lower config.train.batch_size or config.data.frames, or raise config.train.accumulate'
  if config.model.get(network, {}).get('remat') == 'none':
    remedy += f', or set config.model.{network}.remat=full'
  require(predicted, f'a training step with batch_size {config.train.batch_size} and '
          f'{size.frames} frames of {size.height}x{size.width}', remedy)
  return predicted


def check_sampling_memory(config, specs, chosen, inputs):
  """Raises BadInput if sampling is predicted not to fit in memory, with the numbers.

  `specs` are the checkpoint's parameters, {name: anything with shape and dtype}.
  """
  params = {n: jax.ShapeDtypeStruct(s.shape, s.dtype) for n, s in specs.items()
            if not n.startswith('lora/')}  # which is merged
  model = {name: sizes for name, sizes in config.model.items() if name != 'lora'}
  generator = generate.build(config, parts_lib.build(model), chosen)
  clips = inputs['fps'].shape[0]
  x = jax.ShapeDtypeStruct((clips,) + generator.shape, jnp.float32)
  state = jax.eval_shape(generator.method.start, x)
  key, sigma = jax.random.key(0), jax.ShapeDtypeStruct((), jnp.float32)
  given = jax.eval_shape(generator.prepare, params, inputs, key)
  predicted = max(peak_bytes(generator.step, params, given, state, sigma, sigma, key),
                  peak_bytes(generator.decode, params, x))
  require(predicted, f'sampling {clips} x {chosen.frames} frames of {chosen.height}x{chosen.width}',
          'lower --frames, --samples, --height and --width, or pass --decode-chunk')


def require(predicted, what, remedy):
  """Raises BadInput if `predicted` bytes are more than one device has."""
  limit = available_bytes()
  if limit and predicted > limit:
    raise BadInput(f'{what} needs about {predicted / 2**30:.1f} GiB, of which '
                   f'{limit / 2**30:.1f} GiB are available: {remedy}')
