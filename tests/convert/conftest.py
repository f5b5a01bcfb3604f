"""The small released-like models of world.py, as files."""

import importlib.util
import pathlib
import shutil

import pytest

from svdjax.convert import from_diffusers, to_sgm
from svdjax.core.errors import BadInput

FOLDER = pathlib.Path(__file__).parent


def module(name):
  """A module beside this file."""
  spec = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
  made = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(made)
  return made


@pytest.fixture(scope='session')
def world():
  """The module world.py."""
  return module('world')


@pytest.fixture(scope='session')
def parity():
  """The module make_reference.py, which needs PyTorch."""
  return module('make_reference')


@pytest.fixture(scope='session')
def folder(world, tmp_path_factory):
  """A StableVideoDiffusionPipeline folder with drawn fp32 weights."""
  return world.write_folder(tmp_path_factory.mktemp('diffusers') / 'video', world.VIDEO)


@pytest.fixture(scope='session')
def converted(folder, tmp_path_factory):
  """The svdjax checkpoint of `folder`."""
  path = tmp_path_factory.mktemp('converted') / 'video'
  from_diffusers.convert(folder, path)
  return path


@pytest.fixture(scope='session')
def single(converted, tmp_path_factory):
  """The single file of the converted model."""
  file = tmp_path_factory.mktemp('sgm') / 'model.safetensors'
  to_sgm.convert(converted, file)
  return file


@pytest.fixture
def assert_refused(folder, tmp_path):
  """assert_refused(spoil, message, convert): `convert` writes nothing of a spoiled copy of `folder`.

  Its one sentence matches `message`.
  """
  def check(spoil, message, convert):
    broken = shutil.copytree(folder, tmp_path / 'broken')
    spoil(broken)
    with pytest.raises(BadInput, match=message) as refusal:
      convert(broken, tmp_path / 'out')
    assert '\n' not in str(refusal.value) and not (tmp_path / 'out').exists()

  return check
