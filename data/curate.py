"""Raw videos to filtered, captioned training shards: `python -m data.curate --help`.

Worker processes re-import this file, so it imports late.
"""


def main(argv=None):
  """Runs the command line, see data.curation.command."""
  from data.curation import command
  command.main(argv)


if __name__ == '__main__':
  from svdjax.core.errors import run_command
  run_command(main)
