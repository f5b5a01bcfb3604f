"""Sizes of networks and clips by scale."""

# (height, width) of the pretraining and the final resolution. full: SVD (recipe 1.0).
RESOLUTIONS = {
    'full': {'image': (512, 512), 'low': (256, 384), 'mid': (320, 576), 'high': (576, 1024),
             'square': (576, 576)},
    'small': {'image': (96, 128), 'low': (64, 96), 'mid': (96, 128), 'high': (96, 128),
              'square': (96, 96)},
    # One size at tiny: what another saves in its steps, compiling for it costs again.
    'tiny': {'image': (48, 64), 'low': (48, 64), 'mid': (48, 64), 'high': (48, 64),
             'square': (48, 48)},
}
FRAMES = {
    'full': {'short': 14, 'long': 25},
    'small': {'short': 14, 'long': 25},
    'tiny': {'short': 6, 'long': 8},
}
FPS = {'full': (5., 6., 8., 12., 24., 30.), 'small': (8., 4.), 'tiny': (6., 4.)}

# The released model (svd_model 1, 3, 4), and two that train in minutes to half an hour. A latent
# scale of 0 is measured when the first denoising stage starts, and kept by those after it.
UNET = {
    'full': dict(in_channels=4, out_channels=4, channels=(320, 640, 1280, 1280),
                 attention=(True, True, True, False), blocks=2, head_dim=64, context_dim=1024,
                 vector_dim=768, temporal='svd', groups=32, norm_eps='sgm', remat='full'),
    'small': dict(in_channels=4, out_channels=4, channels=(128, 256, 384),
                  attention=(True, True, True), blocks=2, head_dim=64, context_dim=256,
                  vector_dim=384, temporal='svd', groups=32, norm_eps='sgm', remat='none'),
    # Attention at the upper level too: captions bind in fewer clips.
    'tiny': dict(in_channels=8, out_channels=8, channels=(64, 64),
                 attention=(True, True), blocks=1, head_dim=64, context_dim=64,
                 vector_dim=192, temporal='svd', groups=32, norm_eps='sgm', remat='none'),
}
VAE = {
    'full': dict(channels=(128, 256, 512, 512), blocks=2, latent_channels=4, groups=32,
                 temporal=False, post_quant=False, encode_chunk=1, scale=0.18215,
                 remat='full'),
    'small': dict(channels=(64, 128, 256, 256), blocks=2, latent_channels=4, groups=32,
                  temporal=False, post_quant=False, scale=0., remat='none'),
    'tiny': dict(channels=(32, 32, 64, 96), blocks=1, latent_channels=8, groups=32,
                 temporal=False, post_quant=False, scale=0., remat='none'),
}
CLIP_IMAGE = {
    'full': dict(width=1280, layers=32, heads=16, mlp=5120, patch=14, size=224, projection=1024),
    'small': dict(width=256, layers=4, heads=4, mlp=1024, patch=8, size=96, projection=256),
    'tiny': dict(width=64, layers=2, heads=2, mlp=256, patch=8, size=48, projection=64),
}
CLIP_TEXT = {
    'full': dict(width=1024, layers=23, heads=16, mlp=4096, context=77, vocab=49408,
                 projection=None),
    'small': dict(width=256, layers=4, heads=4, mlp=1024, context=32, vocab=768, projection=256),
    'tiny': dict(width=64, layers=2, heads=2, mlp=256, context=24, vocab=768, projection=64),
}


def networks(scale, *names, **unet):
  """config.model with the networks in `names`, the UNet's fields overridden by `unet`."""
  tables = {'unet': UNET, 'vae': VAE, 'clip_image': CLIP_IMAGE, 'clip_text': CLIP_TEXT}
  model = {name: dict(tables[name][scale]) for name in names}
  if 'unet' in model:
    model['unet'] |= unet
  return model


def mask(scale, resolution):
  """config.model.mask: the learned latent of frames that are not given, at a pixel resolution."""
  unit = 2 ** (len(VAE[scale]['channels']) - 1)
  return dict(height=resolution[0] // unit, width=resolution[1] // unit,
              channels=VAE[scale]['latent_channels'])
