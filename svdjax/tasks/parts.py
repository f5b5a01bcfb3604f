"""The networks an experiment uses, built from config.model, and how a flat dict reaches them."""

from typing import NamedTuple

from svdjax.core.params import part, prefixed
from svdjax.models import clip, discriminator, lora, mask, nn, unet, vae

BUILDERS = {
    'unet': lambda config: unet.build(unet.UNetConfig(**config)),
    'vae': lambda config: vae.build(vae.VAEConfig(**config)),
    'clip_image': lambda config: clip.build_image(clip.ImageConfig(**config)),
    'clip_text': lambda config: clip.build_text(clip.TextConfig(**config)),
    'discriminator': lambda config: discriminator.build(
        discriminator.DiscriminatorConfig(**config)),
    'mask': lambda config: mask.build(mask.MaskConfig(**config)),
}


class Parts(NamedTuple):
  """Networks by name; those that the experiment does not list are absent.

  Parameters of all of them live in one flat dict, prefixed by the network's name.
  """
  networks: dict[str, nn.Functional]
  configs: dict[str, dict]

  @property
  def shapes(self):
    """{name: ShapeDtypeStruct} of all networks."""
    flat = {}
    for name, network in self.networks.items():
      flat |= prefixed(network.shapes, name)
    return flat

  def init(self, key_of, names):
    """Fresh parameters of the networks in `names`; `key_of(name)` gives each its key."""
    flat = {}
    for name in names:
      flat |= prefixed(self.networks[name].init(key_of(f'init/{name}')), name)
    return flat

  def unet(self, params):
    """The UNet as a function of its inputs alone, LoRA factors merged where there are any."""
    return self.bind('unet', merged(self, params))

  def apply(self, name, params, *args, **kwargs):
    """Runs one network on its share of the flat `params`."""
    return self.networks[name].apply(part(params, name), *args, **kwargs)

  def bind(self, name, params):
    """The network as a function of its inputs alone."""
    own = part(params, name)
    return lambda *args, **kwargs: self.networks[name].apply(own, *args, **kwargs)


def merged(parts, params):
  """The parameters with the factors of the experiment's own LoRA merged into the UNet."""
  if 'lora' not in parts.networks:
    return params
  sizes = parts.configs['lora']
  return lora.merge({n: x for n, x in params.items() if not n.startswith('lora/')},
                    part(params, 'lora'), sizes['alpha'] / sizes['rank'])


def build(model):
  """Builds the networks of config.model, {network name: its sizes}.

  'lora' among them, {rank, alpha, targets}, is the factors of kernels of the UNet.
  """
  configs = {name: dict(sizes) for name, sizes in model.items()}
  sizes = configs.pop('lora', None)
  parts = Parts({name: BUILDERS[name](sizes) for name, sizes in configs.items()}, configs)
  if sizes:
    unet_shapes = prefixed(parts.networks['unet'].shapes, 'unet')
    parts.configs['lora'] = sizes
    parts.networks['lora'] = lora.build(unet_shapes, tuple(sizes['targets']), sizes['rank'])
  return parts
