"""Curated against uncurated footage: the paper's first claim in miniature (SVD, section 4.1).

    bash launch/quickstart.sh    # or its first steps: the toy world, CLIP and the image model
    python -m launch.ablate curation --prior runs/quickstart --runs runs/curation --seeds 3

The paper trains the same model for the same number of steps on LVD-10M and on the curated subset
LVD-10M-F, a quarter of its size, and people prefer the second. Here raw reels mix moving toy scenes
with photographs that stand still and pages of text, joined by cuts and fades. Both arms read the
same reels with the same captions, written from the truth; `curated` is cut into shots and filtered
by the paper's rules, `uncurated` is neither: its clips run across cuts and hold everything, fades
and black frames too.

Each seed trains the first stage of video pretraining on both, from the same image model, and
measures its samples on held-out clips of the toy world. About 3 minutes a seed and arm at `tiny` on
two cores, after 5 for the footage. Run it again to go on where it ended, with more seeds if wanted.
"""

import ml_collections

from experiments import base

# Ours, all of them: enough shots that the curated arm is not simply out of clips.
REELS = {'small': 600, 'tiny': 120}
JUNK = 0.5  # share of stills and text
ANNOTATE = ('--annotate data.toyworld.captioner:Truth,footage={runs}/raw '
            '--annotate clip,checkpoint={prior}/clip')
CURATE = {'curated': '--preset paper', 'uncurated': '--preset none --whole'}


def get_config(arg='tiny'):
  scale, _ = base.parse(arg)
  if scale == 'full':
    raise ValueError('scale "full" is the paper itself: use small or tiny')
  c = ml_collections.ConfigDict()
  c.prior = ('toy', 'clip', 'image_pretrain')  # what must lie in the folder {prior}
  c.arms = ('uncurated', 'curated')  # differences are of the second to the first
  # (name, seconds on two cores, command) of what all seeds share, and of each seed and arm.
  c.once = (('raw', 240, f'-m data.toyworld.reels --output {{runs}}/raw --reels {REELS[scale]} '
             f'--junk {JUNK} --seed 1'),) + tuple(
      (arm, 60, f'-m data.curate --input {{runs}}/raw --output {{runs}}/{arm} --reencode '
       f'{ANNOTATE} {rules}')
      for arm, rules in CURATE.items())
  workdir = '{runs}/{arm}_{seed}'
  c.each = (
      ('train', 120, f'-m svdjax.main --config experiments/video_pretrain.py:{scale} '
       f'--workdir {workdir} --config.data.source={{runs}}/{{arm}} '
       '--config.init_from={prior}/image_pretrain --config.seed={seed}'),
      ('measure', 50, f'-m svdjax.evaluate --checkpoint {workdir} --data {{prior}}/toy --clips 32 '
       '--out {out} --strip {runs}/{arm}_{seed}.png'))
  return c
