"""The evaluation command: which figures a checkpoint gets, and what they stand beside."""

import json
import re

import numpy as np
import pytest

from svdjax import evaluate, exhibit, features, subject
from svdjax.core.errors import BadInput
from svdjax.inputs import export
from svdjax.metrics import suite
from svdjax.metrics.weights_file import Tensors

pytestmark = pytest.mark.usefixtures('compiled')


def report(workdir, toy, tmp_path, *arguments):
  out = tmp_path / 'report.json'
  evaluate.main(['--checkpoint', str(workdir), '--data', str(toy), '--clips', '2', '--steps', '1',
                 '--out', str(out), *arguments])
  refuse = lambda word: pytest.fail(f'{word} is not JSON')
  return json.loads(out.read_text(), parse_constant=refuse)


@pytest.mark.parametrize('name, seeds, expected', [
    ('autoencoder', 1, {'reconstruction PSNR': {'mean video'},
                        'color of reconstruction': {'chance'}, 'shape of reconstruction': {'chance'}}),
    ('image_discrete', 2, {f'caption {name}': {'chance', 'mean video', 'always the commonest'}
                           for name in ('color', 'shape')}),
    ('i2v_14f,base', 2, {'pointed direction': {'chance', 'first frame repeated'},
                         'first-frame PSNR': {'mean video'},
                         'continuation PSNR': {'first frame repeated', 'mean video'},
                         'motion follows bucket': {'chance', 'motion at N'}})])
def test_every_figure_has_its_seeds_and_what_is_trivial(
    workdir_of, toy, tmp_path, capsys, name, seeds, expected):
  got = report(workdir_of(name), toy, tmp_path, '--seeds', str(seeds))
  assert (got['seeds'], got['clips'], got['step']) == (seeds, 2, 3)
  anonymous = lambda name: re.sub(r'\d+$', 'N', name)
  figures = {f['name']: f for f in got['figures']}
  assert len(figures) == len(got['figures'])
  assert {n: {anonymous(b) for b in figures[n]['baselines']} for n in expected} == expected
  for figure in (figures[n] for n in expected):
    values = figure['values']
    assert len(values) == seeds
    assert figure['mean'] == pytest.approx(np.mean(values))
    assert figure['spread'] == pytest.approx(max(values) - min(values))
  printed = capsys.readouterr().out
  assert all(name in printed for name in expected)


def test_a_model_of_videos_is_measured_beside_the_true_clips(workdir_of, toy, tmp_path):
  page = tmp_path / 'page.html'
  got = report(workdir_of('i2v_14f,base'), toy, tmp_path, '--seeds', '2', '--sampler', 'heun',
               '--guidance', '1', '2', '--clip', str(workdir_of('clip')), '--page', str(page),
               '--strip', str(tmp_path / 'x.png'))
  figures = {f['name']: f for f in got['figures']}
  for name in ('motion magnitude', 'flicker (warp error)', 'frame consistency (CLIP)', 'CLIPSIM'):
    assert set(figures[name]['baselines']) == {'real'}
  assert {'SSIM', 'CLIP-S', 'first-frame SSIM'} <= set(figures)
  assert {len(f['values']) for f in figures.values()} == {2}
  for name in ('motion magnitude', 'flicker (warp error)', 'SSIM', 'CLIPSIM'):
    assert figures[name]['spread'] > 0
  told = got['sampling']
  assert (told['sampler'], told['steps'], told['guidance_max']) == ('heun', 1, 2.)
  told = got['measured']
  assert told['frames'] == 3 and told['resolution'] == '16x24'
  assert len(told['extractors']['CLIP']['sha256']) == 64
  assert told['samples'] == {'made': 2, 'real': 2} and told['sampling seeds'] == 2
  assert 'scaled to cover' in told['resize']['real'] and told['resize']['made'] == 'none'
  assert 'nearest in time' in told['stride']
  assert 'data:image/png;base64,' in page.read_text() and (tmp_path / 'x.png').is_file()
  first = figures['first-frame PSNR']
  assert f'{first["mean"]:.4g} ± {first["spread"]:.4g} dB' in page.read_text()


def test_samples_of_a_caption_are_not_compared_with_a_clip_that_was_never_shown(
    workdir_of, toy, tmp_path):
  page = tmp_path / 'page.html'
  got = report(workdir_of('video_pretrain,low'), toy, tmp_path, '--seeds', '2', '--clip',
               str(workdir_of('clip')), '--page', str(page))
  figures = {f['name']: f for f in got['figures']}
  assert {'caption color', 'motion magnitude', 'flicker (warp error)', 'CLIPSIM'} <= set(figures)
  assert not set(suite.PAIRED) & set(figures)
  assert {len(f['values']) for f in figures.values()} == {2}
  assert 'change between frames' in page.read_text() and 'PSNR' not in page.read_text()
  assert set(got['measured']['not measured']) == {'CLIP-S'}


def test_figures_of_networks_have_a_value_for_each_seed(monkeypatch, tmp_path):
  """A fake I3D sees brightness alone: FVD of each seed's clips, and one split of so few."""
  logits = lambda params, clips: clips.mean((1, 2, 3)) * np.ones((1, 3)) / 50
  monkeypatch.setattr(suite.i3d, 'features', logits)
  truths = np.random.default_rng(0).integers(0, 200, (4, 3, 16, 16, 3)).astype(np.uint8)
  seeds = [truths + shift for shift in np.uint8([0, 20, 40])]
  shown = subject.Shown(truths, seeds[0], ['a clip'] * 4, {'all black': np.zeros_like(truths)},
                        tuple(seeds[1:]))
  weights = Tensors({}, 'i3d.safetensors', 'f00')
  exhibited = exhibit.Exhibit(shown, 8., suite.Extractors(i3d=weights), {'stride': 'all'})
  figures = {f.name: f for f in exhibited.figures}
  assert {len(f.values) for f in figures.values()} == {3}
  none, near, far = figures['FVD'].values
  assert none == pytest.approx(0, abs=1e-4) and none < near < far
  assert figures['PSNR'].values[0] == 100 > figures['PSNR'].values[1]
  assert exhibited.conditions['splits of the Inception score'] == 1
  assert exhibited.conditions['stride'] == 'all'
  exhibited.write_page(tmp_path / 'x.html', [f.row() for f in exhibited.figures], {})
  assert 'all black' in (tmp_path / 'x.html').read_text()


def test_too_few_clips_for_a_figure_are_named(monkeypatch):
  monkeypatch.setattr(suite.i3d, 'features', lambda params, clips: clips.mean((1, 2, 3)))
  clips = np.random.default_rng(0).integers(0, 200, (3, 3, 16, 16, 3)).astype(np.uint8)
  exhibited = exhibit.Exhibit(subject.Shown(clips, clips, ['a clip'] * 3), 8.,
                              suite.Extractors(i3d=Tensors({}, 'i3d.safetensors', 'f00')), {})
  assert 'FVD' not in {f.name for f in exhibited.figures}
  assert exhibited.not_measured == {'FVD': 'it needs 2 made and 4 real clips, not 3 and 3'}
  assert exhibited.conditions['not measured'] == exhibited.not_measured


def test_figures_that_a_network_was_given_for_are_named_where_they_are_missing(
    workdir_of, toy, tmp_path, capsys):
  blind = workdir_of('i2v_14f,base')  # has the image tower alone
  report(blind, toy, tmp_path, '--seeds', '1', '--clip', str(blind))
  assert capsys.readouterr().err.count('not measured') == 1
  report(workdir_of('autoencoder'), toy, tmp_path, '--clip', str(blind))
  said = capsys.readouterr().err
  for name in ('CLIPSIM', 'CLIP-S', 'frame consistency (CLIP)'):
    assert f'{name}: not measured, it is of videos, and ' in said


def test_views_are_said_to_be_spread_over_an_orbit(nano):
  of = lambda name: subject.Subject(nano(name), None, {}, None, None, 1, 1).prepared['stride']
  assert 'over the orbit' in of('multiview') and 'nearest in time' in of('i2v_14f')


@pytest.fixture(scope='module')
def footage(tmp_path_factory):
  """A data folder of videos whose truth nobody knows; one of the test split is too short."""
  from data import shard
  folder = tmp_path_factory.mktemp('footage')
  for i, frames in enumerate((12, 3, 12, 12)):
    pixels = np.random.default_rng(i).integers(0, 256, (1, 20, 28, 3), np.uint8)
    moving = np.concatenate([np.roll(pixels, t, axis=2) for t in range(frames)])
    export.write_mp4(folder / 'in' / f'{i}.mp4', moving, 8)
  shard.main(['--input', str(folder / 'in'), '--output', str(folder / 'out'), '--workers',
              '0'])
  return folder / 'out'


def test_ones_own_videos_are_measured_without_their_truth(workdir_of, footage, tmp_path):
  got = report(workdir_of('i2v_14f,base'), footage, tmp_path, '--seeds', '1', '--clips', '4')
  names = {f['name'] for f in got['figures']}
  assert got['measured']['samples'] == {'made': 3, 'real': 3}  # none twice in place of the short one
  assert {'first-frame PSNR', 'continuation PSNR', 'motion follows bucket', 'SSIM'} <= names
  assert 'pointed direction' not in names
  got = report(workdir_of('autoencoder'), footage, tmp_path)
  assert [f['name'] for f in got['figures']] == ['reconstruction PSNR']
  with pytest.raises(BadInput, match='has no world.json, so nothing is known'):
    report(workdir_of('image_discrete'), footage, tmp_path, '--seeds', '1')


def test_a_temporal_decoder_stands_beside_the_image_decoder(workdir_of, toy, tmp_path):
  got = report(workdir_of('autoencoder,temporal'), toy, tmp_path, '--against',
               str(workdir_of('autoencoder')), '--strip', str(tmp_path / 'x.png'))
  beside = {f['name']: f['baselines'] for f in got['figures']}
  for name in ('reconstruction PSNR', 'flicker (warp error)', 'change of the error between frames'):
    other = beside[name][workdir_of('autoencoder').name]
    itself, = (f['mean'] for f in got['figures'] if f['name'] == name)
    assert np.isfinite(other) and other != itself
  assert (tmp_path / 'x.png').is_file()


def test_chance_is_one_in_as_many_as_there_are(workdir_of, toy, tmp_path):
  figures = report(workdir_of('image_discrete'), toy, tmp_path, '--seeds', '1')['figures']
  world = json.loads((toy / 'world.json').read_text())
  chance = {f['name']: f['baselines']['chance'] for f in figures}
  assert chance['caption color'] == pytest.approx(1 / len(world['colors']))


def test_an_autoencoder_is_measured_on_scenes_without_moving_objects(workdir_of, tmp_path):
  """Turntables: colour and shape are not read from them."""
  from data.toyworld import generate
  generate.main(['--output', str(tmp_path / 'orbits'), '--kinds', 'turntable', '--frames', '4',
                 '--height', '32', '--width', '32', '--clips', '4', '--test-clips', '2'])
  got = report(workdir_of('autoencoder'), tmp_path / 'orbits', tmp_path)
  assert [f['name'] for f in got['figures']] == ['reconstruction PSNR']


@pytest.mark.parametrize('name, arguments, message', [
    ('clip', [], 'task contrastive is not evaluated'),
    ('image_discrete', ['--seeds', '0'], 'must be at least 1'),
    ('image_discrete', ['--out', 'FOLDER'], 'is a folder'),
    ('image_discrete', ['--data', 'FOLDER'], 'FOLDER'),
    ('image_discrete', ['--against', 'CLIP'], 'is no autoencoder alone: --against sets one beside'),
    ('image_discrete', ['--skip-layers', 'x'], 'does nothing without --skip-scale'),
    ('image_discrete', ['--steps', '-1'], 'steps must be at least 1')])
def test_what_cannot_be_evaluated(workdir_of, toy, tmp_path, name, arguments, message):
  real = {'FOLDER': tmp_path, 'CLIP': workdir_of('clip')}
  arguments = [str(real.get(a, a)) for a in arguments]
  with pytest.raises(BadInput, match=message.replace('FOLDER', str(tmp_path))):
    evaluate.main(['--checkpoint', str(workdir_of(name)), '--data', str(toy), '--clips', '2',
                   *arguments])


def test_clips_too_short_for_i3d_are_refused_before_any_is_made(
    workdir_of, toy, tmp_path, monkeypatch):
  monkeypatch.setattr(features, 'load', lambda args: suite.Extractors(i3d=args.i3d))
  with pytest.raises(BadInput, match='--i3d needs clips of at least 9 frames and .* makes 3'):
    report(workdir_of('i2v_14f,base'), toy, tmp_path, '--i3d', 'weights.safetensors')


def test_a_checkpoint_that_is_none(toy, tmp_path):
  with pytest.raises(BadInput, match='is not a workdir'):
    evaluate.main(['--checkpoint', str(tmp_path), '--data', str(toy)])
