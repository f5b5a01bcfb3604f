"""Runs `python -m data.toyworld`; worker processes re-import this file, so it imports late."""

if __name__ == '__main__':
  from data.toyworld.generate import main
  from svdjax.core.errors import run_command
  run_command(main)
