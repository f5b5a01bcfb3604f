"""The measuring command on two small folders, from files to the report and the page."""

import html.parser
import json
import pathlib
import runpy

import numpy as np
import pytest
from safetensors.numpy import save_file

from svdjax import features, measure
from svdjax.core.errors import BadInput
from svdjax.inputs import export
from svdjax.metrics import lpips, suite
from svdjax.metrics.weights_file import Tensors

pytestmark = pytest.mark.usefixtures('compiled')
PROTOCOLS = pathlib.Path(measure.__file__).parents[1] / 'experiments' / 'protocols'


def moving(seed, frames=6):
  """A random texture that moves to the right: uint8 [t 64 64 3]."""
  rng = np.random.default_rng(seed)
  world = np.kron(rng.integers(0, 256, (16, 24, 3)), np.ones((4, 4, 1))).astype(np.uint8)
  return np.stack([world[:, 2 * t:2 * t + 64] for t in range(frames)])


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """(real, made): three real clips; two made, of which 'a' is the real one and 'b' is noise."""
  root = tmp_path_factory.mktemp('sides')
  for i, name in enumerate('abc'):
    export.write_mp4(root / 'real' / f'{name}.mp4', moving(i), 8)
  export.write_mp4(root / 'made' / 'a.mp4', moving(0), 8)
  noise = np.random.default_rng(9).integers(0, 256, (6, 64, 64, 3), np.uint8)
  export.write_mp4(root / 'made' / 'b.mp4', noise, 8)
  (root / 'real' / 'captions.csv').write_text(
      'file,caption\n' + ''.join(f'{n}.mp4,a red circle\n' for n in 'abc'))
  return root / 'real', root / 'made'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
  path, rng = tmp_path_factory.mktemp('weights') / 'alex.safetensors', np.random.default_rng(0)
  save_file({n: np.abs(rng.standard_normal(s) * 0.05).astype(np.float32)
             for n, s in lpips.shapes('alex').items()}, path)
  return path


def run(folders, *options, protocol='clips'):
  real, made = map(str, folders)
  measure.main(['--real', real, '--made', made, '--protocol', str(PROTOCOLS / f'{protocol}.py'),
                '--frames', '4', *map(str, options)])


@pytest.fixture(scope='module')
def report(folders, weights, workdir_of, compiled, tmp_path_factory):
  """(report, text of the page) with LPIPS and a CLIP of random weights."""
  out = tmp_path_factory.mktemp('report')
  run(folders, '--lpips', weights, '--clip', workdir_of('clip'), '--out', out / 'x.json',
      '--page', out / 'x.html')
  refuse = lambda word: pytest.fail(f'{word} is not JSON')
  return json.loads((out / 'x.json').read_text(), parse_constant=refuse), (
      out / 'x.html').read_text()


def test_equal_clips_are_nearest_and_noise_is_far(report):
  clips = report[0]['clips']
  assert clips['psnr'][0] > 40
  assert clips['ssim'][0] > 0.99 > 0.5 > clips['ssim'][1]
  assert clips['lpips'][0] < 1e-3 < clips['lpips'][1]
  assert clips['clip_s'][0] == pytest.approx(1, abs=1e-3)
  assert clips['warp_error'][0] < clips['warp_error'][1]


def test_figures_stand_beside_those_of_real_clips(report):
  figures = {f['name']: f for f in report[0]['figures']}
  assert {'PSNR', 'SSIM', 'LPIPS', 'CLIP-S', 'CLIPSIM', 'first-frame PSNR', 'motion magnitude',
          'flicker (warp error)', 'frame consistency (CLIP)'} <= set(figures)
  assert 'FVD' not in figures
  for name in ('motion magnitude', 'CLIPSIM', 'frame consistency (CLIP)'):
    assert 'real' in figures[name]['baselines']


def test_the_report_says_how_it_was_measured(report, weights):
  told = report[0]['conditions']
  assert told['samples'] == {'made': 2, 'real': 3, 'pairs': 2, 'asked for': 'all'}
  assert told['frames'] == 4 and told['resolution'] == {'made': '64x64', 'real': '64x64'}
  assert told['fps'] == {'made': 8, 'real': 8} and told['stride'] == 1 and told['seed'] == 0
  networks = told['extractors']
  assert set(networks) == {'LPIPS (alex)', 'CLIP'}
  assert networks['LPIPS (alex)']['file'] == str(weights)
  assert all(len(n['sha256']) == 64 for n in networks.values())


def test_the_report_defines_its_figures(report):
  told = report[0]['conditions']
  assert 'of each frame, then the mean' in told['PSNR'] and told['frames left out'] == 'none'
  assert 'short side resized' in told['input of CLIP']


def given_protocol(path, given):
  path.write_text('from experiments.protocols import base\n\ndef get_config():\n'
                  f'  c = base.get_base()\n  c.given = {given}\n  return c\n')
  return path


def test_frames_that_were_given_do_not_count(folders, tmp_path):
  for given in (0, 1):
    run(folders, '--protocol', given_protocol(tmp_path / 'protocol.py', given), '--out',
        tmp_path / f'{given}.json')
  reports = [json.loads((tmp_path / f'{given}.json').read_text()) for given in (0, 1)]
  figures = [{f['name']: f['mean'] for f in r['figures']} for r in reports]
  for name in ('PSNR', 'SSIM'):
    assert figures[0][name] != figures[1][name]
  assert figures[0]['first-frame PSNR'] == figures[1]['first-frame PSNR']
  assert reports[1]['conditions']['frames left out'].startswith('the first 1')
  with pytest.raises(BadInput, match='leaves out 4 given of 4 frames'):
    run(folders, '--protocol', given_protocol(tmp_path / 'protocol.py', 4))


def test_the_page_holds_everything(report):
  class Page(html.parser.HTMLParser):
    sources, kinds = [], set()

    def handle_starttag(self, tag, attrs):
      self.kinds.add(tag)
      self.sources += [v for n, v in attrs if n in ('src', 'href', 'xlink:href')]

  page = Page()
  page.feed(report[1])
  assert page.sources and all(s.startswith('data:image/png;base64,') for s in page.sources)
  assert {'svg', 'polyline', 'img', 'table'} <= page.kinds and 'script' not in page.kinds
  assert 'a red circle' in report[1] and 'sha256' in report[1]


def test_what_needs_weights_is_named(folders, capsys):
  run(folders)
  said = capsys.readouterr()
  assert 'FVD: not measured, it needs --i3d' in said.err and 'PSNR' in said.out


def test_every_figure_that_is_missing_is_named(folders, monkeypatch, tmp_path, capsys):
  """With an I3D, two made clips and three real ones are too few for an FVD, in one split."""
  monkeypatch.setattr(suite.i3d, 'features', lambda params, clips: clips.mean((1, 2, 3)))
  weights = Tensors({}, 'i3d.safetensors', 'f00')
  monkeypatch.setattr(features, 'load', lambda args: suite.Extractors(i3d=weights))
  run(folders, '--out', tmp_path / 'x.json')
  said = capsys.readouterr().err
  assert 'FVD: not measured, it needs 2 made and 4 real clips, not 2 and 3' in said
  report = json.loads((tmp_path / 'x.json').read_text())
  told, measured = report['conditions'], {f['name'] for f in report['figures']}
  asked = set(measure.protocol_of(PROTOCOLS / 'clips.py').figures)
  assert set(told['not measured']) == asked - measured
  assert 'Inception score (I3D)' in measured
  assert told['splits of the Inception score'] == {'made': 1, 'real': 1}


def test_figures_of_pairs_that_are_missing_are_named(folders, tmp_path, capsys):
  export.write_mp4(tmp_path / 'other.mp4', moving(0), 8)
  run((folders[0], tmp_path))
  said = capsys.readouterr().err
  for name in ('PSNR', 'SSIM', 'first-frame PSNR', 'first-frame SSIM'):
    assert f'{name}: not measured, no made clip has a real one of its name' in said


@pytest.mark.parametrize('captioned', ['ab', 'a', ''])
def test_one_clip_without_a_caption_does_not_drop_what_all_have(
    folders, workdir_of, tmp_path, capsys, captioned):
  """Refused where some clips have captions: of real 'c', else of made 'b'; none is no mistake."""
  for name in 'abc':
    export.write_mp4(tmp_path / 'real' / f'{name}.mp4', moving(0), 8)
  (tmp_path / 'real' / 'captions.csv').write_text(
      'file,caption\n' + ''.join(f'{n}.mp4,a red circle\n' for n in captioned))
  sides = tmp_path / 'real', folders[1]
  if not captioned:
    run(sides, '--clip', workdir_of('clip'))
    said = capsys.readouterr()
    assert 'CLIPSIM: not measured, the made clips have no captions' in said.err
    assert 'frame consistency (CLIP)' in said.out
    return
  lacking = {'ab': 'real/c.mp4', 'a': 'made/b.mp4'}[captioned]
  with pytest.raises(BadInput, match=f'{lacking} has no caption while other'):
    run(sides, '--clip', workdir_of('clip'))
  run(sides)  # no CLIP, no CLIPSIM


def test_clips_that_cannot_be_used_are_left_out_and_named(folders, tmp_path, capsys):
  made = tmp_path / 'made'
  export.write_mp4(made / 'a.mp4', moving(0), 8)
  export.write_mp4(made / 'short.mp4', moving(0, 3), 8)
  run((folders[0], made), '--out', tmp_path / 'x.json')
  assert 'short.mp4 has 3 frames where 4 are needed' in capsys.readouterr().err
  told = json.loads((tmp_path / 'x.json').read_text())['conditions']
  assert told['left out'] == {'made': 1, 'real': 0} and told['samples']['made'] == 1


@pytest.mark.parametrize('options, message', [
    (['--protocol', 'none.py'], 'is not a file'), (['--protocol', __file__], 'is no protocol'),
    (['--frames', 1], 'at least 2'), (['--frames', 99], 'no clip of .* can be used'),
    (['--i3d', 'weights.pt'], 'is a pickle')])
def test_what_cannot_be_measured(folders, options, message):
  with pytest.raises(BadInput, match=message):
    run(folders, *options)


@pytest.mark.parametrize('name', sorted(p.stem for p in PROTOCOLS.glob('*.py')
                                        if p.stem not in ('__init__', 'base')))
def test_every_protocol_resolves_and_knows_its_figures(name):
  config = measure.protocol_of(PROTOCOLS / f'{name}.py')
  base = runpy.run_path(str(PROTOCOLS / 'base.py'))
  assert set(config.figures) <= set(base['FIGURES'])
  assert set(config.published) <= set(config.figures)
  assert all(isinstance(v, float) for rows in config.published.values() for _, v in rows)


def test_the_protocols_are_those_of_the_papers():
  ucf, msrvtt, gso = (measure.protocol_of(PROTOCOLS / f'{n}.py')
                      for n in ('ucf101', 'msrvtt', 'gso'))
  assert (ucf.samples, ucf.frames, ucf.fps, ucf.resize.made, ucf.crop) == (
      13_320, 16, 25, (240, 432), (240, 320))
  assert (msrvtt.samples, msrvtt.frames, msrvtt.fps) == (2_990, 16, 30)
  assert (gso.samples, gso.frames, gso.resize.real, gso.given) == (50, 21, (576, 576), 1)


def test_a_class_folder_is_the_prompt(folders, tmp_path):
  real = tmp_path / 'UCF-101'
  for i in range(2):
    export.write_mp4(real / 'TableTennisShot' / f'v_{i}.mp4', moving(i), 8)
  config = measure.protocol_of(PROTOCOLS / 'ucf101.py')
  config.files = '*/*.mp4'
  source = measure.Source(real, 'real', config)
  assert [source.caption(n) for n in source.clips] == ['TableTennisShot'] * 2
