"""What a stage starts from: fresh parameters and those of the stages named by config.init_from."""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp

from svdjax import checkpoint
from svdjax.core.errors import BadInput
from svdjax.core.params import apply_handoff, digest, matches, part, plan_handoff, select
from svdjax.core.rng import key_of
from svdjax.models import vae
from svdjax.tasks import latents
from svdjax.tasks import parts as parts_lib


# What of each network makes inputs of the UNet; the rest may differ or be absent.
ENCODERS = {'vae': 'vae/(encoder|quant_conv)/.*', 'clip_text': 'clip_text/text_model/.*',
            'clip_image': 'clip_image/.*'}


# How a network is run, which is the experiment's own choice wherever the network comes from.
HOW = ('remat', 'encode_chunk')


class Start(NamedTuple):
  """Parameters of all networks of a stage and where they came from."""
  params: dict
  report: str


def sources(init_from):
  """The folders of config.init_from, a comma-separated list."""
  return [path for path in init_from.split(',') if path]


def read(init_from):
  """The EMA parameters of all folders; earlier ones win where two have the same name.

  Raises:
    BadInput: a folder is not a workdir with a saved step.
  """
  merged = {}
  for path in sources(init_from):
    try:
      merged = checkpoint.load(path)[1] | merged
    except BadInput as error:
      raise BadInput(f'init_from: {error}') from None
  return merged


def require_sources(config, workdir):
  """Raises BadInput if a new run in `workdir` needs config.init_from and has none."""
  resumes = (pathlib.Path(workdir) / 'checkpoints').is_dir()
  if config.handoff.after and not sources(config.init_from) and not resumes:
    raise BadInput(f'init_from is not set: this stage starts from {config.handoff.after}; pass '
                   '--config.init_from=WORKDIR (several, separated by commas)')


def adopt(config, workdir):
  """Gives each network that the stage does not train the sizes it has where it comes from.

  So a stage goes on from any autoencoder and CLIP, e.g. converted ones with the temporal decoder.
  Changes config.model; asks the workdir first, so that a resumed run keeps its sizes.

  Raises:
    BadInput: the networks do not fit one another.
  """
  shapes = parts_lib.build(config.model).shapes
  trained, _ = select(shapes, tuple(config.train.trainable))
  frozen = set(config.model) - {n.split('/')[0] for n in trained}
  for name in sorted(frozen):
    for path in (workdir, *sources(config.init_from)):
      if checkpoint.is_ready(path) and name in (model := checkpoint.load_config(path).model):
        kept = {n: x for n, x in config.model[name].items() if n in HOW}
        with config.unlocked():
          config.model[name] = model[name].to_dict() | kept
        break
  if 'unet' in config.model and 'vae' in frozen:
    unet, latent = config.model.unet, config.model.vae.latent_channels
    if unet.out_channels != latent:
      raise BadInput(f'init_from {config.init_from} brings an autoencoder of {latent} latent '
                     f'channels and the UNet has {unet.out_channels}: set '
                     'config.model.unet.in_channels and out_channels, or name another autoencoder')
  models = {p: checkpoint.load_config(p) for p in sources(config.init_from)
            if checkpoint.is_ready(p)}
  _check_groups_and_heads(config, set(config.model) - frozen, models)
  _check_precondition(config, models)


def _check_groups_and_heads(config, names, earlier):
  """Refuses networks that were trained with other numbers that no parameter's shape shows."""
  for name in names:
    path = next((p for p, c in earlier.items() if name in c.model), None)
    for field in ('groups', 'head_dim', 'heads', 'act') if path else ():
      here, there = config.model[name].get(field), earlier[path].model[name].get(field)
      if here != there:
        raise BadInput(f'init_from {path} was trained with {name}.{field} {there} and this '
                       f'experiment has {here}: set config.model.{name}.{field}={there}')


def _check_precondition(config, earlier):
  """Refuses a UNet that was trained for another denoiser, which no parameter shows either."""
  path = next((p for p, c in earlier.items() if 'unet' in c.model and 'diffusion' in c), None)
  if path is None or 'diffusion' not in config:
    return
  wanted = config.handoff.get('precondition') or config.diffusion.precondition
  there = earlier[path].diffusion.precondition
  if there != wanted:
    raise BadInput(f'init_from {path} is a denoiser of precondition {there}, and this stage starts '
                   f'from one of {wanted}: start from {config.handoff.after or "another stage"}, '
                   f'or set config.handoff.precondition={there}')


def encoder_digests(params):
  """{network: digest} of those of the parameters that make inputs of a UNet."""
  chosen = {name: {n: x for n, x in params.items() if matches(n, (pattern,))}
            for name, pattern in ENCODERS.items()}
  return {name: digest(own) for name, own in chosen.items() if own}


def latent_scale(config, parts, workdir, batch):
  """The factor on latents of a denoising stage: its config's, an earlier run's, or measured.

  Measured as 1 / standard deviation over the latents of one batch (LDM 2112.10752, appendix G), by
  the first stage that has a UNet; later ones inherit it, since the UNet was trained with it.

  Args:
    config: the experiment.
    parts: its networks.
    workdir: its folder, asked first, so that a resumed run keeps its scale.
    batch: of training clips, 'video' uint8 [b t h w 3] or 'moments' [b t h w 2z].

  Raises:
    BadInput: init_from brings no autoencoder.
  """
  if config.model.vae.scale:
    return config.model.vae.scale
  for path in (workdir, *sources(config.init_from)):
    if checkpoint.is_ready(path):
      earlier = checkpoint.load_config(path).model
      if 'unet' in earlier and earlier.vae.scale:
        return earlier.vae.scale
  source = read(config.init_from)
  params = part(source, 'vae')
  _require_autoencoder(config, parts, params)
  plan(config, parts, source)  # refuses a wrong stage before anything is encoded
  if 'moments' in batch:
    mean, _ = jnp.split(jnp.asarray(batch['moments'][:, :1], jnp.float32), 2, axis=-1)
    return float(1 / mean.std())
  video = latents.to_float(jnp.asarray(batch['video'][:, :1]))
  mean, _ = jax.jit(lambda p, v: vae.encode(parts.networks['vae'].apply, p, v))(params, video)
  return float(1 / mean.std())


def plan(config, parts, source):
  """What of `source` this stage takes, widens, leaves out and starts afresh, a HandoffPlan.

  Raises:
    BadInput: init_from is not what this stage starts from.
  """
  dropped = (*config.handoff.dropped, 'discriminator/.*')  # whose decoder is all that lasts
  return plan_handoff(parts.shapes, source, tuple(config.handoff.fresh), dropped,
                      config.init_from or '(nothing)')


def check(config, parts):
  """Raises BadInput if init_from is not what this stage starts from; no parameter is read."""
  found = {}
  for path in sources(config.init_from):
    try:
      found = checkpoint.specs(path) | found
    except BadInput as error:
      raise BadInput(f'init_from: {error}') from None
  if config.task == 'denoising' and not config.model.vae.scale:
    _require_autoencoder(config, parts, part(found, 'vae'))
  plan(config, parts, found)


def _require_autoencoder(config, parts, found):
  """Raises BadInput unless `found` has the names of the stage's autoencoder."""
  if found.keys() != parts.networks['vae'].shapes.keys():
    raise BadInput(f'init_from {config.init_from} brings no autoencoder of this size: name the '
                   'workdir of the autoencoder stage')


def start(config, parts):
  """Fresh parameters where config.handoff.fresh allows it, those of config.init_from elsewhere.

  Raises:
    BadInput: init_from is not what this stage starts from.
  """
  source = read(config.init_from)
  planned = plan(config, parts, source)
  needed = {n.split('/')[0] for n in planned.fresh + planned.widened}
  key = lambda name: key_of(config.seed, name)
  params = apply_handoff(planned, parts.init(key, sorted(needed)), source)
  # Converted weights may be of 16 bits; training keeps its parameters in fp32.
  params = {n: x.astype(parts.shapes[n].dtype) for n, x in params.items()}
  return Start(params, planned.describe())
