"""`launch/test.sh --parity` promises comparisons with PyTorch: none of them is skipped unseen."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

CONFTEST = pathlib.Path(__file__).with_name('conftest.py')
SKIPS = '''
import sys
import pytest
sys.modules['{name}'] = None  # as if it were not installed

def test_inside():
  pytest.importorskip('{name}')
'''


@pytest.mark.parametrize('name, parity, summary', [
    ('diffusers', '1', '1 failed, 1 error in'), ('diffusers', '', '2 skipped in'),
    ('lpips', '1', '2 skipped in')])
def test_a_skip_for_lack_of_pytorch_fails(tmp_path, name, parity, summary):
  shutil.copy(CONFTEST, tmp_path)
  (tmp_path / 'test_it.py').write_text(SKIPS.format(name=name))
  (tmp_path / 'test_module.py').write_text(SKIPS.format(name=name).partition('def ')[0] + (
      f"pytest.importorskip('{name}')\n"))
  done = subprocess.run(
      [sys.executable, '-m', 'pytest', '-q', '-p', 'no:xdist', '--continue-on-collection-errors',
       tmp_path], capture_output=True, text=True, check=False, cwd=tmp_path,
      env=os.environ | {'SVDJAX_PARITY': parity, 'PYTHONPATH': str(CONFTEST.parents[1])})
  assert done.stdout.splitlines()[-1].startswith(summary), done.stdout
