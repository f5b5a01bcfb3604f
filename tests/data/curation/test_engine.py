"""Work in child processes: one that dies, hangs or raises costs its item alone."""

import functools
import operator
import os
import time

import pytest

from data.curation import engine


def results(stage, items):
  try:
    return dict(stage.map(items))
  finally:
    stage.close()


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_every_item_gets_its_result(workers):
  assert results(engine.make(functools.partial(operator.mul, 2), workers), range(7)) == {
      i: 2 * i for i in range(7)}


@pytest.mark.parametrize('workers', [0, 1])
def test_an_item_that_raises_is_named(workers):
  found = results(engine.make(functools.partial(operator.truediv, 1), workers), [2, 0, 4])
  assert found[2] == 0.5 and found[4] == 0.25
  assert found[0].code == 'CRASH' and 'ZeroDivisionError' in found[0].message


def test_a_worker_that_dies_is_replaced():
  found = results(engine.Workers(os._exit, 2), [3, 4, 5])
  assert {(r.code, r.attempt) for r in found.values()} == {('CRASH', 2)} and '4' in found[4].message


def test_a_worker_that_hangs_is_killed():
  began = time.monotonic()
  found = results(engine.Workers(time.sleep, 2, patience=1.5), [0.0, 100.0, 0.1])
  assert found[0.0] is None and found[0.1] is None and found[100.0].code == 'TIMEOUT'
  assert time.monotonic() - began < 30
