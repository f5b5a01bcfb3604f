"""Runs `python -m data.preference`."""

from data.preference.command import main
from svdjax.core.errors import run_command

if __name__ == '__main__':
  run_command(main)
