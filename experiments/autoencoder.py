"""KL autoencoder: images first, then the temporal decoder on clips.

    python -m svdjax.main --config experiments/autoencoder.py:tiny --workdir runs/autoencoder \\
      --config.data.source=toy
    python -m svdjax.main --config experiments/autoencoder.py:tiny,temporal \\
      --workdir runs/decoder --config.data.source=toy --config.init_from=runs/autoencoder
    python -m svdjax.main --config experiments/autoencoder.py:tiny,adversarial \\
      --workdir runs/decoder_sharp --config.data.source=toy --config.init_from=runs/decoder
    python -m svdjax.main --config experiments/autoencoder.py:tiny,decoder \\
      --workdir runs/orbit_decoder --config.data.source=orbits --config.init_from=runs/autoencoder

`full` is Stable Diffusion's autoencoder without its perceptual and adversarial terms, whose
networks would have to be downloaded; most users convert its weights instead. SVD finetuned the decoder for
temporal consistency and published neither losses nor iterations (recipe 1.2).
`adversarial` goes on with a discriminator of clips, as Align your Latents does (section 3.1.1).
`decoder` trains the image decoder alone, on footage unlike what it has seen: latents, and the UNets
trained on them, stay as they are.
"""

from experiments import base, sizes


def get_config(arg='full'):
  scale, variant = base.parse(arg, ('image', 'temporal', 'adversarial', 'decoder'))
  c = base.get_base(scale)
  c.task = 'autoencoding'
  c.model = sizes.networks(scale, 'vae')
  # LDM's L1 at full; the squared error gets further in few steps (ours). LDM weighs the KL by 1e-6
  # where both are sums; here they are means, of 48 times fewer latents than pixel values.
  c.autoencoder = dict(norm=1 if scale == 'full' else 2, gradient_weight=0., flicker_weight=0.,
                       kl_weight={'full': 1e-6 / 48, 'small': 1e-4, 'tiny': 1e-3}[scale])
  c.train.ema = 0.999  # ours, as batch and rate; LDM scales 4.5e-6 by its batch
  c.data.fps = c.data.fps[:1]
  if variant in ('image', 'decoder'):
    c.handoff.fresh = ('vae/.*',)
    c.train.trainable = ('vae/.*',)
    c.data.crop = 'random'
    c.data.height, c.data.width = {'full': (256, 256), 'small': (64, 64), 'tiny': (32, 32)}[scale]
    c.train.steps = {'full': 400_000, 'small': 6_000, 'tiny': 350}[scale]  # ours
    c.train.batch_size = {'full': 192, 'small': 64, 'tiny': 16}[scale]
    c.optim.lr = {'full': 1e-4, 'small': 5e-4, 'tiny': 3e-3}[scale]
  else:
    c.handoff.after = 'the image autoencoder'
    c.handoff.fresh = ('vae/decoder/.*(temporal_res_block|time_mixer|time_conv_out).*',)
    c.handoff.dropped = ('vae/post_quant_conv/.*',)  # SVD's decoder has none
    c.model.vae.temporal = True
    c.train.trainable = ('vae/decoder/.*',)  # the encoder stays (model card)
    c.autoencoder.flicker_weight = 1.
    c.data.frames = {'full': 14, 'small': 8, 'tiny': 4}[scale]
    c.data.crop = 'random'
    c.data.height, c.data.width = {'full': (256, 256), 'small': (64, 64), 'tiny': (32, 32)}[scale]
    c.train.steps = {'full': 50_000, 'small': 2_000, 'tiny': 20}[scale]  # ours
    c.train.batch_size = {'full': 32, 'small': 16, 'tiny': 8}[scale]
    c.optim.lr = {'full': 1e-5, 'small': 1e-4, 'tiny': 1e-3}[scale]
  if variant == 'decoder':
    c.handoff.after, c.handoff.fresh = 'the image autoencoder', ()
    c.train.trainable = ('vae/decoder/.*',)
    c.train.steps = {'full': 50_000, 'small': 2_000, 'tiny': 500}[scale]  # ours
  if variant == 'adversarial':
    c.task = 'adversarial'
    c.handoff.after = 'autoencoder, variant temporal'
    c.handoff.fresh = ('discriminator/.*',)
    c.handoff.dropped = ()
    c.train.trainable = ('vae/decoder/.*', 'discriminator/.*')
    c.autoencoder.adversarial_weight = 0.1  # ours
    c.model.discriminator = {
        'full': dict(channels=(64, 128, 256), groups=32),
        'small': dict(channels=(64, 128, 256), groups=32),
        'tiny': dict(channels=(16, 32), groups=8)}[scale]
  c.optim.decay = scale != 'full'
  return c
