"""Plans of every stage at full size on whole pods, and of SVD from 16 to 256 chips, as Markdown.

    python tests/benchmarks/plans.py [--only i2v_14f] [--topologies v6e:16x16]

Each line is what `python -m svdjax.plan --config experiments/EXPERIMENT.py:full,VARIANT --topology
TOPOLOGY --config.mesh.fsdp=16 --config.train.accumulate=PIECES` prints, in so many pieces that the
stage fits. Nothing is compiled.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from svdjax import main as command
from svdjax.core import platform

platform.configure()

from svdjax.plan import estimate, report, topology
from svdjax.validate import check_config

ROOT = pathlib.Path(__file__).parents[2]
STAGES = ('autoencoder,image', 'autoencoder,temporal', 'autoencoder,adversarial', 'clip',
          'image_discrete', 'image_pretrain,adapt', 'image_pretrain,all', 'video_pretrain,low', 
          'video_pretrain,high', 't2v_hq', 'i2v_14f,base', 'i2v_14f,high', 'i2v_25f',
          'interpolation', 'first_last', 'camera_lora,horizontal', 'multiview,posed')
PODS = {256: ('v5e:16x16', 'v5p:4x4x8'), 64: ('v5e:8x8', 'v5p:4x4x4'),
        32: ('v5e:4x8', 'v5p:2x4x4'), 16: ('v5e:4x4', 'v5p:2x2x4')}  # by what divides a batch
CHIPS = ('v5e:4x4', 'v5e:8x8', 'v5e:16x16')


def stage(name, **fields):
  """The config of a stage at full size."""
  experiment, _, variant = name.partition(',')
  path = ROOT / 'experiments' / f'{experiment}.py'
  config = command.experiment(f'{path}:full,{variant}' if variant else f'{path}:full')
  config.update_from_flattened_dict({'data.source': 'any', 'mesh.fsdp': 16} | fields)
  check_config(config)
  return config


def fitting(name, target):
  """(config, Plan) of a stage in so many pieces that it fits, or of one clip each."""
  config, pieces = stage(name), 1
  clips = config.train.batch_size // target.count
  while True:
    config.train.accumulate = pieces
    plan = estimate.estimate(config, target)
    if report.fits(target, plan) or pieces == clips:
      return config, plan
    room = report.RESERVE * target.chip.memory - plan.parameters - plan.state
    need = min(clips, max(pieces + 1, pieces * plan.temporary / max(room, 1)))
    pieces = next(n for n in range(1, clips + 1) if clips % n == 0 and n >= need)


def line(name, config, target, plan):
  """A row of the table."""
  sent = sum(plan.collectives.values())
  fits = '' if report.fits(target, plan) else ' **does not fit**'
  hours = config.train.steps * plan.seconds * target.count / 3600
  return (f'| `{name}` | {target.name} | {config.train.batch_size // target.count} '
          f'| {config.train.accumulate} | {report.gib(plan.parameters + plan.state)} '
          f'| {report.gib(plan.temporary)} | {report.gib(plan.total)}{fits} '
          f'| {plan.flops / 1e12:.1f} | {sent / 1e9:.2f} | {plan.seconds:.2f} | {hours:,.0f} |')


def main():
  """Prints two tables."""
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--only', default='', help='stages such as i2v_14f; all by default')
  parser.add_argument('--topologies', default='', help='by default what the batch can fill')
  args = parser.parse_args()
  head = ('| stage | chips | clips a chip | pieces | state | the rest | total | TFLOP | GB sent '
          '| s a step | chip-hours |\n|' + '---|' * 11)
  print(head, flush=True)
  for text in CHIPS:
    target = topology.parse(text)
    config = stage('i2v_14f,high', **{'train.batch_size': 3 * target.count, 'train.accumulate': 3})
    print(line('i2v_14f,high', config, target, estimate.estimate(config, target)), flush=True)
  print(f'\n{head}', flush=True)
  for name in STAGES:
    if args.only in ('', name.split(',')[0]):
      batch = stage(name).train.batch_size
      pods = next(pods for chips, pods in PODS.items() if batch % chips == 0)
      for target in map(topology.parse, args.topologies.split(',') if args.topologies else pods):
        config, plan = fitting(name, target)
        print(line(name, config, target, plan), flush=True)


if __name__ == '__main__':
  main()
