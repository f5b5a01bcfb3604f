"""Who may import whom: modules see only lower floors, so that each can be read on its own."""

import ast
import graphlib
import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ('svdjax', 'data', 'experiments')
FILES = {'.'.join(path.relative_to(ROOT).with_suffix('').parts): path
         for package in PACKAGES for path in sorted((ROOT / package).rglob('*.py'))}
# Of svdjax. A folder may import itself and lower floors; a file, lower floors alone.
FLOORS = [
    ['core'],
    ['models', 'diffusion', 'inputs'],
    ['tasks', 'metrics', 'presets', 'ranges'],
    ['request', 'margins', 'fits'],
    ['optim'],
    ['state'],
    ['checkpoint', 'generate'],
    ['handoff', 'preview', 'validate', 'convert', 'annotate', 'saving', 'sampling', 'features',
     'interpolate', 'chain', 'exhibit'],
    ['prepare', 'subject'],
    ['decoding'],
    ['train', 'sample', 'evaluate', 'measure', 'encoding'],
    ['main', 'demo', 'goodput', 'encode', 'produce'],
    ['plan'],
]
FLOOR = {place: i for i, places in enumerate(FLOORS) for place in places}
EXTRAS = {'data.curation.beam': 'apache_beam'}  # modules that need a package of an extra
RUNS_NETWORKS = ('data.encode',)  # a command of data/ that may import all of svdjax
BANNED = ('tensorflow', 'torch', 'diffusers', 'transformers', 'pickle', 'flax.linen')
BANNED_NNX = ('jit', 'grad', 'value_and_grad', 'scan', 'remat', 'vmap', 'pmap', 'Optimizer', 'Rngs',
              'with_partitioning', 'cond', 'while_loop', 'fori_loop')


def imports(name):
  """Every module or member that a file imports, by its full name, at any depth of the file."""
  found = set()
  for node in ast.walk(ast.parse(FILES[name].read_text())):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{name} imports relatively'
      found |= {f'{node.module}.{alias.name}' for alias in node.names}
  return found


def own(name):
  """The modules of this repository that a file imports."""
  modules = set()
  for full in imports(name):
    while full.split('.')[0] in PACKAGES and full not in FILES and f'{full}.__init__' not in FILES:
      full = full.rpartition('.')[0]
    if full.split('.')[0] in PACKAGES:
      modules.add(full)
  return modules


def starts(full, package):
  return full == package or full.startswith(package + '.')


def place(name):
  """'svdjax.models.unet' -> 'models'; 'svdjax.train' -> 'train'."""
  return name.split('.')[1]


def allowed_in_svdjax(name, target):
  here, there = place(name), place(target)
  return here == there or FLOOR[there] < FLOOR[here]


@pytest.mark.parametrize('name', [n for n in FILES if n.startswith('svdjax.')])
def test_modules_import_only_lower_floors(name):
  if name == 'svdjax.__init__':
    assert not own(name)
    return
  wrong = {t for t in own(name) if not starts(t, 'svdjax') or not allowed_in_svdjax(name, t)}
  assert not wrong


@pytest.mark.parametrize('package, sees', [
    ('data', ('data', 'svdjax.core', 'svdjax.inputs')), ('experiments', ('experiments',))])
def test_what_stands_beside_the_floors(package, sees):
  for name in (n for n in FILES if starts(n, package)):
    allowed = (*sees, 'svdjax') if name in RUNS_NETWORKS else sees
    assert not [t for t in own(name) if not any(starts(t, s) for s in allowed)], name


def test_experiments_need_nothing_but_configs():
  for name in (n for n in FILES if starts(n, 'experiments')):
    assert {full.split('.')[0] for full in imports(name)} <= {'experiments', 'ml_collections'}, name


def test_there_are_no_cycles():
  graph = {name.removesuffix('.__init__'): own(name) for name in FILES}
  order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
  assert set(graph) <= set(order)


def test_no_other_framework_is_imported():
  wrong = {(name, full) for name in FILES for full in imports(name)
           if any(starts(full, banned) for banned in BANNED)}
  assert not wrong


def test_only_networks_know_nnx():
  users = {name for name in FILES if any(starts(full, 'flax') for full in imports(name))}
  assert users and all(starts(name, 'svdjax.models') for name in users)


def test_nnx_writes_layers_down_and_does_nothing_else():
  for name in (n for n in FILES if starts(n, 'svdjax.models')):
    used = {node.attr for node in ast.walk(ast.parse(FILES[name].read_text()))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            and node.value.id == 'nnx'}
    assert not used & set(BANNED_NNX), name


def test_importing_everything_imports_no_other_framework():
  modules = sorted(n.removesuffix('.__init__') for n in FILES if not n.endswith('__main__')
                   and importlib.util.find_spec(EXTRAS.get(n, 'sys')))
  script = (f'import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n'
            'print(*(m for m in ("tensorflow", "torch", "diffusers", "gradio") '
            'if m in sys.modules))')
  out = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True,
                       check=False)
  assert out.returncode == 0, out.stderr
  assert not out.stdout.split()
