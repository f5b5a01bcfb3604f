"""Which of several models people prefer (SVD, appendix E.1).

  python -m data.preference serve --model A=FOLDER --model B=FOLDER --votes votes.jsonl
  python -m data.preference rank --votes votes.jsonl [--out ranking.json]

A folder holds a model's videos, named by prompt; NAME.txt beside one of them is the prompt's text.
The page asks for quality and for prompt following apart, hides the names and stores each vote at
once. Open it at the address printed; Ctrl-C ends it, the same command goes on.
"""

import argparse
import json

from data.preference import page
from data.preference import ranking
from data.preference import tasks
from data.preference import votes as votes_lib
from svdjax.core.errors import BadInput
from svdjax.inputs import export


def parse_args(argv):
  """Command line -> namespace.

  Raises:
    BadInput: a model is not NAME=FOLDER, or is named twice; or a number is out of range.
  """
  parser = argparse.ArgumentParser(prog='python -m data.preference', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(dest='command', required=True)
  serve = commands.add_parser('serve', help='the page of pairs')
  serve.add_argument('--model', action='append', default=[], metavar='NAME=FOLDER')
  serve.add_argument('--votes', required=True, help='file that votes are added to')
  serve.add_argument('--port', type=int, default=8765)
  serve.add_argument('--seed', type=int, default=0, help='of order and sides')
  serve.add_argument('--ties', action='store_true', help='allow "no difference" (not in the paper)')
  rank = commands.add_parser('rank', help='Elo and Bradley-Terry of the votes')
  rank.add_argument('--votes', required=True)
  rank.add_argument('--out', help='JSON file')
  rank.add_argument('--seed', type=int, default=0, help='of shuffles and resamples')
  args = parser.parse_args(argv)
  for name, most in (('seed', None), ('port', 65535)):
    given = getattr(args, name, 0)
    if given < 0 or (most and given > most):
      raise BadInput(f'--{name} {given} is out of range: give a number from 0'
                     + (f' to {most}' if most else ''))
  if args.command == 'serve':
    pairs = [text.partition('=')[::2] for text in args.model]
    if not all(name and folder for name, folder in pairs) or len(dict(pairs)) < len(pairs):
      raise BadInput(f'--model {" --model ".join(args.model)}: write NAME=FOLDER, each name once')
    args.model = dict(pairs)
  return args


def read_prompts(videos):
  """{prompt_id: text} of the .txt files beside the videos of any model."""
  prompts = {}
  for found in videos.values():
    for prompt, path in found.items():
      text = path.with_suffix('.txt')
      if text.is_file():
        prompts.setdefault(prompt, ' '.join(text.read_text('utf-8', 'replace').split()))
  return prompts


def serve(args):
  """Serves the page until it is interrupted.

  Raises:
    BadInput: see tasks.find_videos; or the port is taken, or votes cannot be written.
  """
  videos = tasks.find_videos(args.model)
  export.check_writable(args.votes)
  session = page.Session(videos, read_prompts(videos), votes_lib.Votes(args.votes), args.seed,
                         args.ties)
  try:
    server = page.make_server(session, args.port)
  except OSError as error:
    raise BadInput(f'--port {args.port} cannot be used ({error.strerror}): name another') from error
  with server:
    print(f'{len(tasks.pairs(videos))} pairs, twice each: open '
          f'http://127.0.0.1:{server.server_address[1]} (Ctrl-C ends)', flush=True)
    try:
      server.serve_forever()
    except KeyboardInterrupt:
      print(f'{len(session.votes.rows)} votes in {args.votes}')


def rank(args):
  """Prints the ranking of each axis and of both together.

  Returns:
    {axis: rows of ranking.rank}.

  Raises:
    BadInput: no vote counts.
  """
  votes, inattentive = votes_lib.attentive(votes_lib.read(args.votes))
  for rater, share in sorted(inattentive.items()):
    print(f'rater {rater} passed {100 * share:.0f} % of the attention checks: left out')
  if not votes:
    raise BadInput(f'votes {args.votes} hold no vote that counts: collect some with `serve`')
  result = {}
  for axis in (*tasks.AXES, 'both'):
    chosen = [v for v in votes if axis in (v['axis'], 'both')]
    if not chosen:
      continue
    result[axis] = ranking.rank(chosen, args.seed)
    print(f'{axis}: {len(chosen)} votes\n  {"model":20s} {"Elo (95 %)":>24s}  '
          f'{"Bradley-Terry (95 %)":>24s}  wins')
    for row in result[axis]:
      cell = lambda n, r=row: f'{r[n]:7.1f} ({r[n + "_low"]:.1f} to {r[n + "_high"]:.1f})'
      print(f'  {row["model"]:20s} {cell("elo"):>24s}  {cell("bt"):>24s}  '
            f'{row["wins"]:g}/{row["votes"]}')
  if args.out:
    export.check_writable(args.out)
    with open(args.out, 'w', encoding='utf-8') as file:
      json.dump(result, file, indent=1)
  return result


def main(argv=None):
  """Runs the command line, see the module's docstring."""
  args = parse_args(argv)
  {'serve': serve, 'rank': rank}[args.command](args)
