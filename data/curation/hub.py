"""Models of `transformers`, from a folder or hub name that the user gives.

Nothing is downloaded unless `hub=1` is given with the option.
"""

import importlib
import pathlib

from svdjax.core.errors import BadInput


class Model:
  """What all annotators of `transformers` share: where the model is and how it is loaded."""
  seconds = 1800

  def __init__(self, model, hub='0', revision='main'):
    """Args:
      model: folder, or with hub=1 a name on the hub.
      hub: '1' allows a download.
      revision: of the hub's repository.

    Raises:
      BadInput: the folder is not there, or `transformers` is missing.
    """
    if hub != '1' and not pathlib.Path(model, 'config.json').is_file():
      raise BadInput(f'annotator model {model} is not a folder with config.json: name one, or pass '
                     'hub=1 to let it be downloaded')
    try:
      self._library = importlib.import_module('transformers')
    except ImportError as error:
      raise BadInput('annotators from a folder need transformers and PyTorch: pip install '
                     '"svdjax[torch]"') from error
    self.model = model
    self._where = {'local_files_only': hub != '1', 'revision': revision}

  def version(self):
    """Changes with the folder's files, the revision and the library."""
    folder = pathlib.Path(self.model)
    files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns)
                   for p in folder.glob('*') if p.is_file()) if folder.is_dir() else []
    return f'{self._library.__version__} {self._where["revision"]} {files}'

  def load(self, processor, network):
    """Loads both by the names of their `Auto` classes."""
    load = lambda name: getattr(self._library, name).from_pretrained(self.model, **self._where)
    self._processor, self._network = load(processor), load(network).eval()
