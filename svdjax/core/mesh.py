"""The device mesh and where arrays lie on it: rules over names and shapes (law 2).

Axes: `data` and `fsdp` split the clips of a batch; `fsdp` also splits parameters, their moving
average and the optimizer's state (ZeRO stage 3, 1910.02054); `frame` splits one clip (core/split).
Functions for layers read the mesh that `jax.set_mesh` set, and do nothing where there is none.
"""

import math

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import numpy as np

from svdjax.core.errors import BadInput

AXES = ('data', 'fsdp', 'frame')
CLIPS = ('data', 'fsdp')  # the axes that clips of a batch are spread over
SMALL = 2 ** 16  # elements below which an array is kept whole on each device


def make(sizes, devices=None):
  """The mesh of an experiment.

  Args:
    sizes: config.mesh, `data`, `fsdp` and `frame`; a `data` of 0 takes all devices that are left.
    devices: of all processes; by default those JAX has.

  Returns:
    jax.sharding.Mesh with AXES. One process may use fewer devices than there are.

  Raises:
    BadInput: the sizes do not fit the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  data, fsdp, frame = (sizes[name] for name in AXES)
  if min(fsdp, frame) < 1 or data < 0:
    raise BadInput(f'config.mesh.data={data}, fsdp={fsdp}, frame={frame}: fsdp and frame must be '
                   'at least 1, data at least 0 (0: all devices that are left)')
  if not data and len(devices) % (fsdp * frame):
    raise BadInput(f'config.mesh.fsdp={fsdp} x frame={frame} does not divide {len(devices)} '
                   'devices: change one of them')
  data = data or len(devices) // (fsdp * frame)
  count = data * fsdp * frame
  if count > len(devices) or count < len(devices) and len({d.process_index for d in devices}) > 1:
    raise BadInput(f'config.mesh of data={data} x fsdp={fsdp} x frame={frame} needs {count} '
                   f'devices and there are {len(devices)}: change one of them, or set '
                   'config.mesh.data=0')
  return jax.sharding.Mesh(_arranged(devices, (data, fsdp, frame)), AXES,
                           axis_types=(AxisType.Auto,) * len(AXES))


def _arranged(devices, shape):
  """Devices as an array: on a whole TPU slice, along its links; elsewhere in their own order.

  In their own order those of a host are neighbours, so that frame and fsdp stay inside hosts.
  """
  slices = {getattr(d, 'slice_index', 0) for d in devices}
  if devices[0].platform == 'tpu' and len(slices) == 1 and len(devices) == math.prod(shape):
    return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
  return np.asarray(devices[:math.prod(shape)]).reshape(shape)


def use(sizes):
  """A context in which functions of layers see the mesh of `make(sizes)`."""
  return jax.set_mesh(make(sizes))


def fetch(x):
  """A whole array in the memory of this process, wherever its parts are; all processes call."""
  if x.is_fully_addressable or x.is_fully_replicated:
    return np.asarray(x)
  from jax.experimental import multihost_utils
  return multihost_utils.process_allgather(x, tiled=True)


def current():
  """{axis: size} of the mesh that is set, all 1 where there is none."""
  mesh = jax.sharding.get_abstract_mesh()
  return dict.fromkeys(AXES, 1) if mesh.empty else {name: mesh.shape[name] for name in AXES}


def groups():
  """Over how many places the clips of a batch are spread."""
  sizes = current()
  return sizes['data'] * sizes['fsdp']


def spec(shape, fsdp):
  """Where a parameter lies: its largest axis that `fsdp` divides is split, the last of equals.

  Arrays of fewer than SMALL elements, and those with no such axis, are whole on each device.
  """
  fits = [i for i, n in enumerate(shape) if n % fsdp == 0]
  if fsdp == 1 or not fits or math.prod(shape) < SMALL:
    return P()
  axis = max(fits, key=lambda i: (shape[i], i))
  return P(*(['fsdp' if i == axis else None for i in range(axis + 1)]))


def shardings(mesh, tree):
  """NamedShardings by `spec` for a tree of anything with .shape."""
  return jax.tree.map(lambda x: NamedSharding(mesh, spec(x.shape, mesh.shape['fsdp'])), tree)


def replicated(mesh):
  """The sharding of what every device holds whole."""
  return NamedSharding(mesh, P())


def of_clips(mesh):
  """The sharding of batches, over their leading axis."""
  return NamedSharding(mesh, P(CLIPS))


def place(tree, wanted):
  """Arrays from values that every process has whole, each device holding its own part alone.

  Args:
    tree: of arrays.
    wanted: a tree of shardings like it.
  """
  def put(x, sharding):
    if isinstance(x, jax.Array) and not x.is_fully_addressable or sharding.is_fully_addressable:
      return jax.device_put(x, sharding)
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
  return jax.tree.map(put, tree, wanted)


def rows(mesh, clips):
  """Which of the `clips` of a batch the devices of this process need, ascending.

  Raises:
    BadInput: they cannot be spread evenly.
  """
  check_clips(clips, mesh.shape['data'] * mesh.shape['fsdp'])
  parts = of_clips(mesh).addressable_devices_indices_map((clips,)).values()
  return sorted({i for (part,) in parts for i in range(clips)[part]})


def check_clips(clips, places, name='config.train.batch_size'):
  """Raises BadInput unless `clips` can be spread evenly over the places."""
  if clips % places:
    raise BadInput(f'{name} {clips} is not divisible by config.mesh.data x fsdp = {places}: use a '
                   f'multiple of {places}, or fewer places')


def global_batch(mesh, batch, clips, own):
  """Arrays over all processes from the rows `own` of a batch that this process has read.

  Args:
    mesh: the mesh.
    batch: {field: array with a leading axis of len(own)}.
    clips: in the whole batch.
    own: as of `rows`.
  """
  sharding, at = of_clips(mesh), {row: i for i, row in enumerate(own)}

  def put(x):
    def read(index):
      wanted = range(clips)[index[0]]  # neighbours in a batch are neighbours in what was read
      return x[at[wanted[0]]:at[wanted[0]] + len(wanted)]
    return jax.make_array_from_callback((clips,) + x.shape[1:], sharding, read)
  return jax.tree.map(put, batch)


def constrain(x, *axes):
  """with_sharding_constraint of x by mesh axes, where a mesh is set."""
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return jax.lax.with_sharding_constraint(x, P(*axes))


@jax.custom_vjp
def _gathered(x):
  return constrain(x)


def _scatter(_, gradient):
  return (constrain(gradient, *spec(gradient.shape, current()['fsdp'])),)


_gathered.defvjp(lambda x: (_gathered(x), None), _scatter)


def weight(x, dtype):
  """A parameter in the dtype it is used in, gathered from all devices for the layer that calls.

  Gathered after the cast, so that half as much is moved in bfloat16; its gradient is scattered.
  Inside a rematerialised block it is gathered again backwards, and never kept.
  """
  x = x.astype(dtype)
  return _gathered(x) if current()['fsdp'] > 1 else x
