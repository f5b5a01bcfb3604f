"""How near the samplers come to the exact solution on a trained checkpoint, and how fast.

    python tests/benchmarks/samplers.py --checkpoint DIR --data DIR [--clips 4] [--steps 10 25]
        [--exact 200]

The reference is Heun with many steps from the same noise; clips are compared with it, and with the
true continuation, as PSNR in pixels. The SDE draws noise of its own, so that the distance to the
exact solution of the ODE says little of it. A row's steps cost equal calls of the network: Heun, with
two a step, takes half as many. Guidance of another kind has another exact solution: its rows say how
far it moves the clips. Seconds are without compilation.
"""

import argparse
import time

import numpy as np

from svdjax import generate, preview, subject as subject_lib
from svdjax.core.rng import key_of
from svdjax.metrics import quality

VARIANTS = {
    'euler': {}, 'heun (half the steps)': {'sampler': 'heun'}, 'dpmpp_2m': {'sampler': 'dpmpp_2m'},
    'dpmpp_2m_sde': {'sampler': 'dpmpp_2m_sde'}, 'euler, ays': {'schedule': 'ays'},
    'dpmpp_2m, ays': {'sampler': 'dpmpp_2m', 'schedule': 'ays'},
    'euler, interval 0.3 to 20': {'guidance_interval': (0.3, 20.)},
    'euler, skip layers 1.0': {'skip_scale': 1.}}


def subject_of(args):
  """The subject.Subject of the checkpoint, and a batch of held-out clips."""
  found, _ = subject_lib.load(args.checkpoint, args.data, seeds=1, clips=args.clips)
  return found, found.held_out(())[0]


def make_sampler(subject, batch, key, **changes):
  """f(steps) -> (clips uint8, seconds), compiled once for all numbers of steps."""
  settings = lambda steps: generate.settings(subject.config, steps=steps, **changes)
  built = generate.build(subject.config, subject.parts, settings(1))
  given = preview.inputs_of(subject.config, batch, subject.tokenizer)

  def run(steps):
    generator = built._replace(sigmas=generate.grid(subject.config, settings(steps)))
    began = time.monotonic()
    made = np.asarray(generate.run(generator, subject.params, given, key))
    return made, time.monotonic() - began

  run(1)
  return run


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--checkpoint', required=True)
  parser.add_argument('--data', required=True)
  parser.add_argument('--clips', type=int, default=4)
  parser.add_argument('--steps', type=int, nargs='+', default=[10, 25])
  parser.add_argument('--exact', type=int, default=200)
  args = parser.parse_args()
  subject, batch = subject_of(args)
  key = key_of(0, 'samplers')
  exact, _ = make_sampler(subject, batch, key, sampler='heun')(args.exact)
  true = quality.psnr(exact[:, 1:], batch['video'][:, 1:]).mean()
  print(f'exact: heun, {args.exact} steps; to the true clip {true:.2f} dB')
  print(f'{"sampler":28s} {"steps":>5s} {"to exact":>9s} {"to truth":>9s} {"seconds":>8s}')
  for name, changes in VARIANTS.items():
    run = make_sampler(subject, batch, key, **changes)
    for steps in args.steps:
      count = max(1, steps // 2) if changes.get('sampler') == 'heun' else steps
      made, seconds = run(count)
      to_exact = quality.psnr(made, exact).mean()
      to_truth = quality.psnr(made[:, 1:], batch['video'][:, 1:]).mean()
      print(f'{name:28s} {count:5d} {to_exact:6.2f} dB {to_truth:6.2f} dB {seconds:8.2f}', flush=True)


if __name__ == '__main__':
  main()
