"""Networks that do not fit one another are named before anything is traced."""

import pytest

from svdjax import fits
from svdjax.core.errors import BadInput


@pytest.mark.parametrize('name', [
    'autoencoder', 'autoencoder,adversarial', 'clip', 'image_discrete', 'i2v_14f', 'interpolation',
    'multiview', 'camera_lora'])
def test_the_networks_of_experiments_fit(nano, name):
  fits.check(nano(name))


@pytest.mark.parametrize('name, changes, message', [
    ('autoencoder', {'model.vae.groups': 3},
     'config.model.vae.channels 8 is not divisible by config.model.vae.groups 3: change one'),
    ('autoencoder', {'model.vae.groups': 0}, 'is not divisible by config.model.vae.groups 0'),
    ('i2v_14f', {'model.unet.channels': (18,)},
     'config.model.unet.channels 18 is not divisible by config.model.unet.groups 4'),
    ('i2v_14f', {'model.unet.head_dim': 5},
     'config.model.unet.channels 16 is not divisible by config.model.unet.head_dim 5'),
    ('i2v_14f', {'model.unet.context_dim': 17},
     'context_dim 17 does not go with config.model.clip_image.projection: set it to 16'),
    ('t2v_hq', {'model.unet.context_dim': 17},
     'context_dim 17 does not go with config.model.clip_text.width: set it to 16'),
    ('i2v_14f', {'model.unet.in_channels': 8},
     'in_channels 8 does not go with 8 latent channels with conditioning.concat "first_frame"'),
    ('i2v_14f', {'model.unet.vector_dim': 25}, 'does not hold 3 scalars: use a multiple of 6'),
    ('i2v_14f', {'conditioning.scalars': ()}, 'has no scalars to embed: set it to 0')])
def test_those_that_do_not_are_named(nano, name, changes, message):
  with pytest.raises(BadInput, match=message):
    fits.check(nano(name, changes))
