"""JSON objects from files that may be damaged."""

import pytest

from svdjax.core import json_dict
from svdjax.core.errors import BadInput


def test_a_tree_has_one_level_when_it_is_flat():
  assert json_dict.flat({'a': {'b': 1, 'c': {'d': [2]}}, 'e': {}}) == {'a.b': 1, 'a.c.d': [2]}


def test_an_object_is_read():
  assert json_dict.parse('{"a": [1]}', 'f') == {'a': [1]}


@pytest.mark.parametrize('text, message', [
    ('{', 'f is not JSON .*: copy the file again'),
    ('', 'f is not JSON'),
    ('[1]', 'f holds a JSON list where an object is needed: copy the file again')])
def test_anything_else_is_refused(text, message):
  with pytest.raises(BadInput, match=message):
    json_dict.parse(text, 'f')
