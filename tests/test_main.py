"""The training command refuses bad input in one sentence, before anything is compiled."""

import pathlib
import subprocess
import sys

from absl import flags
import pytest

from svdjax import handoff, main, train, validate
from svdjax.core.errors import run_command
from svdjax.inputs import pipeline
from svdjax.tasks import parts as parts_lib

REPOSITORY = pathlib.Path(__file__).parents[1]
NANO = pathlib.Path(__file__).with_name('nano.py')


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
  """refused(*arguments) -> the one line on stderr of a command that ends with code 2.

  It has compiled nothing and made no workdir.
  """

  def forget():
    for name in list(flags.FLAGS):
      if name.split('.')[0] == 'config':
        delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
    flags.FLAGS.workdir = None

  def too_late(*_):
    raise AssertionError('training began')

  def command(*arguments):
    forget()
    monkeypatch.setattr(train, '_loop', too_late)
    monkeypatch.setattr(handoff, 'latent_scale', too_late)  # which compiles
    argv = ['svdjax.main', *map(str, arguments)]
    if '--workdir' not in argv:
      argv += ['--workdir', str(tmp_path / 'workdir')]
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit) as end:
      run_command(main.main)
    line, = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert end.value.code == 2
    assert not (tmp_path / 'workdir').exists()
    return line

  command.forget = forget
  yield command
  forget()


def stage(name, *changes):
  """Arguments that choose a nano stage."""
  return ['--config', f'{NANO}:{name}', *(f'--config.{change}' for change in changes)]


@pytest.mark.parametrize('change, message', [
    ('train.stepz=3', 'config.train.stepz is not a field of this experiment: did you mean '
                      'config.train.steps?'),
    ('steps=3', 'did you mean config.train.steps?'),
    ('init_form=x', 'did you mean config.init_from?'),
    ('train=3', 'config.train is a group of fields: set one of config.train.accumulate'),
    ('train.steps=many', 'config.train.steps must be a whole number, not "many": for example'),
    ('train.steps=1.5', 'config.train.steps must be a whole number, not "1.5"'),
    ('optim.lr=fast', 'config.optim.lr must be a number, not "fast"'),
    ('train.steps.more=3', 'config.train.steps.more is not a field'),
    ('train.steps', 'config.train.steps'),
    ('train.steps=0', 'config.train.steps must be at least 1, not 0'),
    ('train.accumulate=3', 'config.train.batch_size 2 is not divisible by '
                           'config.train.accumulate 3: change one of them'),
    ('data.height=15', 'height 15 is not a positive multiple of 2 pixels'),
    ('data.width=0', 'width 0 is not a positive multiple'),
    ('data.crop=left', 'config.data.crop "left" is unknown: use one of center, random'),
    ('data.captions=(1.,1.,1.)', 'config.data.captions (1.0, 1.0, 1.0) must sum to 1'),
    ('train.trainable=("vea/.*",)', 'pattern "vea/.*" matches no parameter; names look like vae/'),
    ('data.frames=99', 'lower config.data.frames'),
    ('train.steps=-5', 'config.train.steps must be at least 1, not -5'),
    ('optim.lr=nan', 'config.optim.lr must be above 0, not nan'),
    ('optim.lr=-1e-3', 'config.optim.lr must be above 0, not -0.001'),
    ('optim.clip=0.', 'config.optim.clip must be above 0 (inf clips nothing), not 0.0'),
    ('train.ema=1.5', 'config.train.ema must be from 0 to 1, not 1.5'),
    ('seed=-1', 'config.seed must be from 0 to 4294967295, not -1'),
    ('checkpoint.keep=0', 'config.checkpoint.keep must be at least 1, not 0'),
    ('data.threads=0', 'config.data.threads must be at least 1'),
    ('data.fps=(0.,)', 'config.data.fps (0.0,) must list positive frame rates'),
    ('data.captions=(0.5,0.5)', 'config.data.captions (0.5, 0.5) must sum to 1: the shares of'),
    ('data.captions=(-1.,1.,1.)', 'config.data.captions (-1.0, 1.0, 1.0) must sum to 1'),
    ('autoencoder.kl_weight=nan', 'config.autoencoder.kl_weight must be at least 0, not nan')])
def test_fields_that_cannot_work(refused, toy, change, message):
  assert message in refused(*stage('autoencoder', f'data.source={toy}', change))


@pytest.mark.parametrize('change, message', [
    ('diffusion.sigma=uniform', 'config.diffusion.sigma "uniform" is unknown: use one of log'),
    ('diffusion.weight=w', 'config.diffusion.weight "w" is unknown: use one of v, edm, eps, unit'),
    ('diffusion.p_std=-1.', 'config.diffusion.p_std must be at least 0, not -1.0'),
    ('diffusion.p_mean=nan', 'config.diffusion.p_mean must be a finite number'),
    ('diffusion.loss_bins=(1.,0.5)', 'config.diffusion.loss_bins (1.0, 0.5) must be positive and'),
    ('conditioning.scalars=("fsp",)', 'config.conditioning.scalars "fsp" is unknown: use one of'),
    ('conditioning.drop_image=2.', 'config.conditioning.drop_image must be from 0 to 1, not 2.0'),
    ('conditioning.log_cond_aug=(1.,)', 'must be a mean and a standard deviation'),
    ('model.unet.attention=(True,True)', 'config.model.unet.attention (True, True) is not of 1 lev'),
    ('sample.sampler=eulr', 'config.sample: sampler "eulr" is unknown: use one of euler, heun'),
    ('sample.steps=0', 'config.sample: steps must be at least 1, not 0'),
    ('sample.sigma_min=100.', 'config.sample: a sampling grid of'),
    ('sample.clips=-1', 'config.sample.clips must be at least 0, not -1')])
def test_fields_of_a_denoising_stage_that_cannot_work(refused, toy, change, message):
  """Before the stages it starts from are looked at."""
  assert message in refused(*stage('i2v_14f,base', f'data.source={toy}', change))


@pytest.mark.parametrize('config, message', [
    ('experiments/autoencoder.py:huge', 'scale "huge" is unknown: use one of full, small, tiny'),
    ('experiments/autoencoder.py:tiny,best', 'variant "best" is unknown: this experiment has'),
    ('experiments/autoencodr.py:tiny', '--config experiments/autoencodr.py is not a file'),
    ('experiments', '--config experiments is not a file'),
    ('experiments/sizes.py', 'defines no get_config'),
    ('README.md', 'README.md'), ('', '--config')])
def test_experiments_that_do_not_exist(refused, monkeypatch, config, message):
  monkeypatch.chdir(REPOSITORY)
  assert message in refused('--config', config)


def test_arguments_that_are_missing_or_not_understood(refused, toy):
  assert '--config is not set' in refused()
  assert 'argument "steps=3" is not understood' in refused(*stage('clip'), 'steps=3')
  assert "'workdri'" in refused(*stage('clip'), '--workdri=x')


@pytest.mark.parametrize('source, message', [
    ('', 'config.data.source is not set: make toy data with `python -m data.toyworld'),
    ('none', 'does not exist: make one with'), ('FILE', 'FILE is not a folder: make one with'),
    ('empty', 'holds no shards of split "train"')])
@pytest.mark.parametrize('name', ['autoencoder', 'clip'])
def test_data_that_is_not_there(refused, tmp_path, name, source, message):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'FILE').touch()
  source = tmp_path / source if source else ''
  assert message in refused(*stage(name, f'data.source={source}'))


@pytest.mark.parametrize('name, sources, message', [
    ('i2v_14f,base', (), 'init_from is not set: this stage starts from video_pretrain'),
    ('image_discrete', ('nowhere',), 'nowhere'),
    ('image_discrete', ('autoencoder',), 'brings no tokenizer'),
    ('i2v_14f,base', ('clip',), 'brings no autoencoder'),
    ('i2v_14f,base', ('autoencoder', 'clip'), 'is not a checkpoint this stage can start from: '
                                              'unet/'),
    ('video_pretrain,high', ('image_pretrain',), 'is missing')])
def test_stages_to_start_from(refused, toy, workdir_of, name, sources, message):
  folders = [s if s == 'nowhere' else str(workdir_of(s)) for s in sources]
  line = refused(*stage(name, f'data.source={toy}', f'init_from={",".join(folders)}'))
  assert message in line and 'init_from' in line


def test_a_workdir_that_cannot_be_written(refused, toy, tmp_path):
  (tmp_path / 'file').touch()
  line = refused(*stage('clip', f'data.source={toy}'), '--workdir', tmp_path / 'file')
  assert 'cannot be written' in line and 'choose another --workdir' in line


def test_pictures_that_memory_does_not_hold_are_refused_before_one_is_read(
    refused, toy, monkeypatch):
  monkeypatch.setattr(validate, 'available_bytes', lambda: 2 ** 34)
  monkeypatch.setattr(pipeline.Clips, 'clip', None)
  side = 2 ** 22
  line = refused(*stage('autoencoder', f'data.source={toy}', f'data.height={side}',
                        f'data.width={side}'))
  assert (f'1 x 1 frames of {side}x{side} pixels needs about 49152.0 GiB, of which 16.0 GiB are '
          'available: lower config.data.frames, height or width') in line


def test_more_than_memory_holds_and_the_remedy(refused, toy, tmp_path, monkeypatch):
  monkeypatch.setattr(validate, 'available_bytes', lambda: 2 ** 16)
  with monkeypatch.context() as patch:  # before parameters, which may not fit either, are made
    patch.setattr(parts_lib.Parts, 'init', None)
    line = refused(*stage('clip', f'data.source={toy}'))
  assert 'GiB are available: lower config.train.batch_size' in line and 'remat' not in line
  line = refused(*stage('autoencoder', f'data.source={toy}'))
  assert line.endswith('or set config.model.vae.remat=full')
  monkeypatch.setattr(validate, 'available_bytes', lambda: None)
  refused.forget()
  monkeypatch.setattr(sys, 'argv', ['main', *stage('clip', f'data.source={toy}',
                                                   'train.batch_size=1'),
                                    '--workdir', str(tmp_path / 'workdir')])
  with pytest.raises(AssertionError, match='training began'):
    main.main()


@pytest.mark.parametrize('arguments, message', [
    (['--config', 'experiments/clip.py:tiny', '--workdir', 'x', '--config.optim.lrr=1'],
     'config.optim.lrr is not a field of this experiment: did you mean config.optim.lr?'),
    (['--config', 'experiments/clip.py:tiny', '--workdir', 'x', '--config.train.steps=abc'],
     'config.train.steps must be a whole number, not "abc": for example --config.train.steps=125'),
    (['--config', 'experiments/clip.py:tiny', '--workdir', 'x', '--config.data.source=/none'],
     'data folder /none does not exist')])
def test_the_real_command_says_one_line_and_ends_with_2(tmp_path, arguments, message):
  arguments = [str(tmp_path / 'x') if a == 'x' else a for a in arguments]
  done = subprocess.run([sys.executable, '-m', 'svdjax.main', *arguments], cwd=REPOSITORY,
                        capture_output=True, text=True, check=False)
  assert done.returncode == 2
  line, = done.stderr.splitlines()
  assert line.startswith('error: ') and message in line


def test_help_is_printed(capsys, monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['svdjax.main', '--help'])
  main.main()
  assert '--workdir DIR' in capsys.readouterr().out
