"""What was compiled is kept, and only used for what it was compiled from."""

import types

import pytest

from svdjax.core.errors import BadInput
from svdjax.plan import exact, topology

TARGET = topology.Topology('cpu', 'cpu:2', topology.CHIPS['v5e'], 2)
MEMORY = types.SimpleNamespace(argument_size_in_bytes=10, temp_size_in_bytes=20)


@pytest.fixture
def compilations(monkeypatch, tmp_path):
  """The calls of a compiler that answers at once; the cache is in tmp_path/kept."""
  calls = []
  program = types.SimpleNamespace(memory_analysis=lambda: MEMORY, as_text=lambda: '',
                                  cost_analysis=lambda: {'flops': 3., 'bytes accessed': 4.})
  monkeypatch.setattr(exact, 'compiled', lambda *args: calls.append(args) or program)
  monkeypatch.setattr(exact, 'CACHE', tmp_path / 'kept')
  return calls


def test_a_step_is_compiled_once(nano, compilations):
  found = exact.measured(nano('clip'), TARGET)
  assert found == {'argument': 10, 'temporary': 20, 'flops': 3., 'bytes': 4., 'collectives': {}}
  assert exact.measured(nano('clip'), TARGET) == found and len(compilations) == 1
  exact.measured(nano('clip', {'train.batch_size': 4}), TARGET)
  exact.measured(nano('clip'), TARGET._replace(name='cpu:4', count=4))
  assert len(compilations) == 3


@pytest.mark.parametrize('content', ['', '{"argument": 10', '{}', '[]'])
def test_a_torn_result_is_compiled_again(nano, compilations, tmp_path, content):
  found = exact.measured(nano('clip'), TARGET)
  kept, = (tmp_path / 'kept').iterdir()
  kept.write_text(content)
  assert exact.measured(nano('clip'), TARGET) == found and len(compilations) == 2
  assert exact.measured(nano('clip'), TARGET) == found and len(compilations) == 2


def test_a_result_that_cannot_be_kept_is_not_lost(nano, compilations, tmp_path, capsys):
  (tmp_path / 'kept').touch()
  assert exact.measured(nano('clip'), TARGET)['flops'] == 3.
  assert 'cannot be kept' in capsys.readouterr().err


def test_there_is_no_compiler_for_gpus():
  with pytest.raises(BadInput, match='cannot compile for gpu:8xh100 without such a GPU'):
    exact.prepare(topology.parse('gpu:8xh100'))
