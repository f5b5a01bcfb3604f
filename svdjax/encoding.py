"""What frozen networks make of a record, computed once: see inputs.encoded."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from svdjax import checkpoint, handoff
from svdjax.core.errors import BadInput
from svdjax.core.params import part
from svdjax.core.rng import fold_name
from svdjax.diffusion import sigmas
from svdjax.inputs import video
from svdjax.models import vae
from svdjax.models.tokenizer import Tokenizer
from svdjax.tasks import conditioning, latents
from svdjax.tasks import parts as parts_lib

CHUNK = 16  # frames encoded together
PRODUCTS = {'latents': 'vae', 'text': 'clip_text', 'image': 'clip_image'}


@dataclasses.dataclass(frozen=True)
class Options:
  """What latents depend on beside records and networks.

  Attributes:
    height: of the frames that are encoded, in pixels.
    width: likewise.
    max_fps: frames beyond so many a second are left out; 0 keeps all.
    only: of PRODUCTS; 'latents' is always made.
    log_cond_aug: mean and standard deviation of ln noise on conditioning images.
    seed: of that noise.
  """
  height: int
  width: int
  max_fps: float = 0.
  only: tuple = tuple(PRODUCTS)
  log_cond_aug: tuple = (-3., 0.5)  # SVD appendix D
  seed: int = 0


def read_networks(paths, wanted):
  """({network: its sizes}, flat parameters, tokenizer or None) from the first folder that has each.

  Raises:
    BadInput: a folder is no checkpoint, or none has an autoencoder.
  """
  sizes, params, tokenizer = {}, {}, None
  for path in handoff.sources(paths):
    model = checkpoint.load_config(path).model
    for name in sorted(set(model) & set(wanted) - set(sizes)):
      source = checkpoint.load_network(path, name)
      params |= {n: jnp.asarray(source.read(n), jnp.float32) for n in source.specs}
      sizes[name] = model[name].to_dict()
    if tokenizer is None and (pathlib.Path(path) / 'assets').is_dir():
      tokenizer = Tokenizer.load(pathlib.Path(path) / 'assets')
  if 'vae' not in sizes:
    raise BadInput(f'checkpoint {paths} brings no autoencoder: name the workdir of one')
  if 'clip_text' in sizes and tokenizer is None:
    raise BadInput(f'checkpoint {paths} brings a text tower and no tokenizer: name a folder with '
                   'assets/vocab.json')
  return sizes, params, tokenizer


class Encoder:
  """The frozen networks of checkpoints, as functions of records.

  Args:
    paths: workdirs or converted checkpoints, separated by commas; earlier ones win.
    options: Options.
  """

  def __init__(self, paths, options):
    wanted = [PRODUCTS[name] for name in ('latents', *options.only)]
    sizes, params, self.tokenizer = read_networks(paths, wanted)
    self.options, self.parts = options, parts_lib.build(sizes)
    self.digests = handoff.encoder_digests(params)
    unit = vae.VAEConfig(**sizes['vae']).downscale
    for name in ('height', 'width'):
      if (size := getattr(options, name)) < unit or size % unit:
        raise BadInput(f'--{name} {size} is not a positive multiple of {unit} pixels, which the '
                       'autoencoder downscales by')
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), ('data',))
    spec = lambda *axes: jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))
    self.chunk, self._split = -(-CHUNK // mesh.size) * mesh.size, spec('data')
    self._params = jax.device_put(params, spec())
    self._frames = jax.jit(functools.partial(_encode_frames, self.parts, options))
    self._texts = jax.jit(lambda p, t: conditioning.text_tokens(
        self.parts, p, t, jnp.float32).astype(jnp.float16))

  def frames(self, frames, clip_id):
    """Fields 'moments' and, with CLIP's image tower, 'tokens', 'condition', 'cond_aug' of frames.

    Args:
      frames: uint8 [n h w 3].
      clip_id: whose noise it is.

    Returns:
      {name: array of n}, as in encoded.features but not flat.
    """
    key, found = fold_name(jax.random.key(self.options.seed), clip_id), []
    for at in range(0, len(frames), self.chunk):
      some = frames[at:at + self.chunk]
      filled = np.pad(some, ((0, self.chunk - len(some)), (0, 0), (0, 0), (0, 0)))
      filled = jax.device_put(filled, self._split)
      made = jax.device_get(self._frames(self._params, filled, key, at))
      found.append({name: x[:len(some)] for name, x in made.items()})
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}

  def texts(self, captions):
    """States of captions, float16 [n k e]."""
    return np.asarray(self._texts(self._params, self.tokenizer(captions)))

  def record(self, entry):
    """The encoded record of a record; raises VideoError if its video cannot be read."""
    entry, timebase = dict(entry), entry['timebase_num'] / entry['timebase_den']
    chosen = np.arange(len(entry['pts']))
    if self.options.max_fps:
      count = int(entry['pts'][-1] * timebase * self.options.max_fps) + 1
      chosen = np.unique(video.sample_indices(entry['pts'], timebase, 0., count,
                                              self.options.max_fps))
    frames = video.decode(entry.pop('video'), chosen)
    frames = video.resize_crop(frames, self.options.height, self.options.width)
    made = self.frames(frames, entry['clip_id'])
    if 'clip_text' in self.parts.networks:
      made['text'] = self.texts(entry['captions'])
    pts = np.asarray(entry['pts'])[chosen]
    entry |= {'video': b'', 'pts': pts - pts[0], 'num_frames': len(pts)}
    empty = {name: np.zeros(0, np.float16) for name in ('moments', 'text', 'tokens', 'condition')}
    flat = {name: np.ravel(x) for name, x in made.items()}
    return entry | empty | {'cond_aug': np.zeros(0, np.float32)} | flat

  def shapes(self):
    """{field: shape of one of its entries}, of the fields that are made."""
    o = self.options
    made = jax.eval_shape(lambda p: self._frames(
        p, jnp.zeros((1, o.height, o.width, 3), jnp.uint8), jax.random.key(0), 0), self._params)
    shapes = {name: list(x.shape[1:]) for name, x in made.items()}
    if 'clip_text' in self.parts.networks:
      shapes['text'] = list(self.texts(['']).shape[1:])
    return shapes


def _encode_frames(parts, options, params, frames, key, first):
  """frames uint8 [n h w 3], the first of them number `first` of its clip -> {name: [n ...]}."""
  images, half = latents.to_float(frames), lambda x: x.astype(jnp.float16)
  moments = vae.encode(parts.networks['vae'].apply, part(params, 'vae'), images[:, None])
  made = {'moments': half(jnp.concatenate(moments, axis=-1)[:, 0])}
  if 'clip_image' in parts.networks:
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(len(frames)))
    level = lambda k: sigmas.lognormal(fold_name(k, 'cond_aug'), (), *options.log_cond_aug)
    sigma = jax.vmap(level)(keys)
    noise = jax.vmap(lambda k: jax.random.normal(k, images.shape[1:]))(keys)
    noisy = images + sigma[:, None, None, None] * noise
    made['condition'] = half(latents.encode_condition(parts, params, noisy))
    made['cond_aug'] = sigma
    made['tokens'] = half(conditioning.image_tokens(parts, params, images)[:, 0])
  return made
