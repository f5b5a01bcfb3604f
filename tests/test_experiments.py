"""The recipe, without running it: every stage resolves, builds and starts from the one before.

The chain of stages is read from the commands in the docstrings of the experiment files.
"""

import functools
import importlib
import itertools
import pathlib
import re
from typing import NamedTuple

import pytest

from experiments import base
from svdjax import fits, generate
from svdjax.core.errors import BadInput
from svdjax.core.params import plan_handoff
from svdjax.core.params import select
from svdjax.models import lora
from svdjax.tasks import parts as parts_lib
from svdjax.validate import check_config

FOLDER = pathlib.Path(base.__file__).parent
EXPERIMENTS = sorted({p.stem for p in FOLDER.glob('*.py')} - {'__init__', 'base', 'sizes'})


class Stage(NamedTuple):
  """A documented command: an experiment and variant, its workdir and those it starts from."""
  name: str
  variant: str
  workdir: str
  sources: tuple[str, ...]


def documented(name):
  text = importlib.import_module(f'experiments.{name}').__doc__.replace('\\\n', ' ')
  for line in re.findall(r'python -m svdjax\.main (.*)', text):
    arg, workdir = re.findall(r'experiments/(\S+) +--workdir runs/(\S+)', line)[0]
    file, variant = re.fullmatch(r'(\w+)\.py:tiny,?(\w*)', arg).groups()
    sources = re.findall(r'--config\.init_from=(\S+)', line)
    yield Stage(file, variant, workdir,
                tuple(s.removeprefix('runs/') for s in (sources[0].split(',') if sources else ())))


STAGES = {stage.workdir: stage for name in EXPERIMENTS for stage in documented(name)}
EVERYWHERE = pytest.mark.parametrize(
    'scale, workdir', list(itertools.product(base.SCALES, STAGES)))


def config_of(scale, workdir):
  stage = STAGES[workdir]
  module = importlib.import_module(f'experiments.{stage.name}')
  config = module.get_config(f'{scale},{stage.variant}'.rstrip(','))
  config.data.source = 'somewhere'
  return config


BUILT = {}  # {sizes: Parts}: many stages have the same networks


def parts_of(scale, workdir):
  model = config_of(scale, workdir).model
  key = model.to_json()
  if key not in BUILT:
    BUILT[key] = parts_lib.build(model)
  return BUILT[key]


@functools.cache
def plan(scale, workdir):
  """What the stage takes from the workdirs that its command names; see svdjax.handoff."""
  config, source = config_of(scale, workdir), {}
  for before in STAGES[workdir].sources:
    source = parts_of(scale, before).shapes | source
  return plan_handoff(parts_of(scale, workdir).shapes, source, tuple(config.handoff.fresh),
                      tuple(config.handoff.dropped), workdir)


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_every_variant_has_a_command(name):
  get_config = importlib.import_module(f'experiments.{name}').get_config
  with pytest.raises(ValueError, match='variant "no such" is unknown') as refusal:
    get_config('tiny,no such')
  variants = re.findall(r'\w+', str(refusal.value).split('this experiment has')[1])
  commands = [stage for stage in documented(name) if stage.name == name]
  asked = {get_config(f'tiny,{s.variant}'.rstrip(',')).to_json() for s in commands}
  wanted = {get_config(f'tiny,{v}'.replace(',none', '')).to_json() for v in variants}
  assert asked == wanted and len(commands) == len(variants)
  with pytest.raises(ValueError, match='scale "huge" is unknown: use one of full, small, tiny'):
    get_config('huge')


@EVERYWHERE
def test_every_stage_passes_the_checks_of_a_config(scale, workdir):
  config = config_of(scale, workdir)
  check_config(config)
  fits.check(config)
  if config.task == 'denoising':
    generate.settings(config)
  config.data.source = ''
  with pytest.raises(BadInput, match='config.data.source is not set'):
    check_config(config)


@EVERYWHERE
def test_a_stage_starts_from_the_stages_that_its_command_names(scale, workdir):
  found, needs_source = plan(scale, workdir), bool(config_of(scale, workdir).handoff.after)
  assert bool(found.taken) == needs_source == bool(STAGES[workdir].sources)
  trained, _ = select(parts_of(scale, workdir).shapes,
                      tuple(config_of(scale, workdir).train.trainable))
  assert set(found.fresh) | set(found.widened) <= set(trained)


@pytest.mark.parametrize('scale', base.SCALES)
def test_what_is_new_in_each_stage(scale):
  temporal = re.compile(r'.*(temporal_|time_mixer|time_pos_embed|time_conv_out|add_embedding).*')
  new = {workdir: plan(scale, workdir).fresh for workdir in STAGES}
  loras = {'horizontal', 'zoom', 'static'}
  widened = {workdir: plan(scale, workdir).widened for workdir in STAGES}
  assert {w: names for w, names in widened.items() if names} == {
      'i2v_base': ['unet/conv_in/kernel'], 'interpolation': ['unet/conv_in/kernel'],
      'first_last': ['unet/conv_in/kernel'],
      'multiview': ['unet/add_embedding/linear_1/kernel'],
      'multiview_image': ['unet/conv_in/kernel']}
  assert {w for w, names in new.items() if names} == {
      'autoencoder', 'decoder', 'decoder_sharp', 'clip', 'image_discrete', 'video_low',
      'interpolation', 'multiview_image', 'multiview_scratch', 'video_scratch',
      'first_last'} | loras
  assert new['interpolation'] == new['first_last'] == ['mask/latent']
  assert all(n.startswith('discriminator/') for n in new['decoder_sharp'])
  assert all(n.startswith('lora/unet/') for workdir in loras for n in new[workdir])
  for workdir in ('decoder', 'video_low', 'multiview_image'):
    assert all(temporal.fullmatch(n) for n in new[workdir])
    assert not any(temporal.fullmatch(n) for n in plan(scale, workdir).taken)


def test_a_stage_is_refused_where_another_was_needed():
  """The final resolution starts from the base resolution, whose first layer is wide already."""
  config, shapes = config_of('full', 'i2v_14f'), parts_of('full', 'i2v_14f').shapes
  source = parts_of('full', 'video_pretrain').shapes | parts_of('full', 'clip').shapes
  with pytest.raises(BadInput, match=r'unet/conv_in/kernel has shape \(3, 3, 4, 320\)'):
    plan_handoff(shapes, source, tuple(config.handoff.fresh), tuple(config.handoff.dropped), '')


@EVERYWHERE
def test_the_denoiser_changes_in_the_stage_that_says_so_alone(scale, workdir):
  config = config_of(scale, workdir)
  before = [config_of(scale, s) for s in STAGES[workdir].sources]
  before = [c.diffusion.precondition for c in before if 'unet' in c.model and 'diffusion' in c]
  own = 'diffusion' in config and config.diffusion.precondition
  expected = config.handoff.precondition or own
  assert set(before) <= {expected}
  assert bool(config.handoff.precondition) == (workdir == 'image_adapt')


def test_the_autoencoder_weighs_sums_as_latent_diffusion_does():
  """Its total, divided by the number of pixel values: 3 of each pixel, 4 latents for 64 pixels."""
  c = config_of('full', 'autoencoder')
  assert c.autoencoder.kl_weight == pytest.approx(1e-6 * 4 / (3 * 8 * 8))
  assert c.autoencoder.norm == 1


# The paper's figures (SVD, section 4 and appendix D); None where it gives none.
PAPER = {
    # workdir: (iterations, batch, lr, P_mean, P_std, frames, (height, width), drop of text, EMA)
    'image_adapt': (1_000, None, None, -1.2, 1.0, 1, (512, 512), None, None),
    'image_pretrain': (30_000, None, None, -1.2, 1.0, 1, (256, 384), None, None),
    'video_low': (150_000, 1536, 1e-4, -1.2, 1.0, 14, (256, 384), 0.15, None),
    'video_pretrain': (100_000, 768, 1e-4, 0.0, 1.0, 14, (320, 576), 0.15, None),
    't2v': (50_000, 768, 3e-5, 0.5, 1.4, 14, (576, 1024), None, 0.9999),
    'i2v_base': (50_000, 768, 3e-5, 0.7, 1.6, 14, (320, 576), None, None),
    'i2v_14f': (50_000, 768, 3e-5, 1.0, 1.6, 14, (576, 1024), None, 0.9999),
    'interpolation': (10_000, 256, 1e-4, 1.0, 1.2, 5, (576, 1024), None, 0.9999),
    'i2v_25f': (50_000, 768, 3e-5, 1.0, 1.6, 25, (576, 1024), None, 0.9999),
}


@pytest.mark.parametrize('workdir', PAPER)
def test_full_is_the_paper(workdir):
  c = config_of('full', workdir)
  ours = (c.train.steps, c.train.batch_size, c.optim.lr, c.diffusion.p_mean, c.diffusion.p_std,
          c.data.frames, (c.data.height, c.data.width), c.data.drop_text, c.train.ema)
  assert [a for a, b in zip(ours, PAPER[workdir]) if b is not None] == [
      b for b in PAPER[workdir] if b is not None]
  assert (c.diffusion.precondition, c.diffusion.sigma, c.diffusion.weight) == (
      'edm_v', 'lognormal', 'v')


def test_image_to_video_is_conditioned_as_released():
  c = config_of('full', 'i2v_14f')
  assert (c.conditioning.context, c.conditioning.concat) == ('image', 'first_frame')
  assert c.conditioning.scalars == ('fps', 'motion', 'cond_aug')
  assert c.conditioning.log_cond_aug == (-3.0, 0.5)  # appendix D
  assert c.model.vae.scale == 0.18215


def test_interpolation_is_given_two_of_five_frames():
  c = config_of('full', 'interpolation')
  assert (c.conditioning.context, c.conditioning.concat) == ('ends', 'masked')
  assert c.model.unet.in_channels == 4 + 4 + 1  # appendix D.5
  assert parts_of('full', 'interpolation').shapes['mask/latent'].shape == (72, 128, 4)


@pytest.mark.parametrize('workdir', ['horizontal', 'zoom', 'static'])
def test_camera_loras_train_factors_of_temporal_attention_alone(workdir):
  c = config_of('full', workdir)
  assert (c.train.steps, c.model.lora.rank) == (5_000, 16)  # section 4.3.2
  assert c.model.lora.targets == (lora.TEMPORAL_ATTENTION,)
  trained, _ = select(parts_of('full', workdir).shapes, tuple(c.train.trainable))
  assert trained and all(re.match(r'lora/unet/.*temporal_transformer', n) for n in trained)
  assert {s.shape[1] for n, s in trained.items() if n.endswith('/a')} == {16}


@pytest.mark.parametrize('workdir', [w for w in STAGES if w.startswith('multiview')])
def test_multi_view_is_the_papers(workdir):
  c = config_of('full', workdir)
  assert (c.train.steps, c.train.batch_size, c.optim.lr) == (12_000, 16, 1e-5)
  posed = workdir != 'multiview_unposed'
  assert (c.data.frames, c.data.height, c.data.width) == (21, 576, 576 if posed else 1024)
  assert c.sample.guidance == ('triangle' if posed else 'linear')  # footage closes no circle
  assert ('elevation' in c.conditioning.scalars) == posed == (c.model.unet.vector_dim == 1024)


@pytest.mark.parametrize('workdir, steps, guidance', [
    ('i2v_14f', 25, (1.0, 2.5)), ('i2v_25f', 30, (1.5, 3.0))])
def test_image_to_video_is_sampled_as_released(workdir, steps, guidance):
  c = config_of('full', workdir).sample
  assert (c.sampler, c.steps, c.guidance) == ('euler', steps, 'linear')
  assert (c.guidance_min, c.guidance_max) == guidance
  assert (c.sigma_min, c.sigma_max) == (0.002, 700.)


@pytest.mark.parametrize('workdir', ['video_low', 'video_pretrain', 't2v', 'i2v_14f'])
def test_all_weights_of_the_video_model_are_trained(workdir):
  """Unlike Align your Latents, which leaves the image model's alone."""
  c = config_of('full', workdir)
  trained, _ = select(parts_of('full', workdir).shapes, tuple(c.train.trainable))
  assert {n for n in parts_of('full', workdir).shapes if n.startswith('unet/')} == set(trained)


def test_adapting_trains_only_what_embeds_the_noise_level():
  c = config_of('full', 'image_adapt')
  trained, rest = select(parts_of('full', 'image_adapt').shapes, tuple(c.train.trainable))
  assert all('time_emb' in n for n in trained)
  assert not any('time_emb' in n for n in rest)
