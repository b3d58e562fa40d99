# SPDX-License-Identifier: Apache-2.0
"""Functions by content: exported once, loaded once, and never pickled again by the worker that runs them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from shoal.errors import SerializationError
from shoal.ids import FunctionKey
from shoal.task.function_table import FunctionTable
from shoal.task.traits import Traits


class Daemon:
    """Keeps records, and counts how often it was asked."""

    def __init__(self) -> None:
        self.records: dict[FunctionKey, bytes] = {}
        self.names: list[str] = []
        self.n_fetches = 0

    def put(self, key: FunctionKey, blob: bytes, name: str) -> None:
        self.records[key] = blob
        self.names.append(name)

    def fetch(self, key: FunctionKey) -> bytes | None:
        self.n_fetches += 1
        return self.records.get(key)

    def table(self) -> FunctionTable:
        return FunctionTable(self.put, self.fetch)


def double() -> Callable[[int], int]:
    def function(x: int) -> int:
        return 2 * x

    return function


def test_the_same_content_is_exported_once() -> None:
    daemon = Daemon()
    table = daemon.table()
    assert table.export("double", double()) == table.export("double", double())
    assert daemon.names == ["double"]


def test_another_name_is_another_record_of_the_same_function() -> None:
    daemon = Daemon()
    table = daemon.table()
    assert table.export("a", double()) != table.export("b", double())


def test_a_worker_loads_a_function_once_and_gets_its_name() -> None:
    daemon = Daemon()
    key = daemon.table().export("double", double())
    worker = daemon.table()
    assert worker.load(key).function(21) == 42
    assert worker.load(bytes(key)).name == "double"
    assert daemon.n_fetches == 1


def test_a_loaded_function_keeps_its_key_when_the_worker_submits_it() -> None:
    daemon = Daemon()
    key = daemon.table().export("double", double())
    worker = daemon.table()
    assert worker.export("double", worker.load(key).function) == key
    assert daemon.names == ["double"]


def test_traits_travel_with_the_function_and_make_another_record() -> None:
    daemon = Daemon()
    traits = Traits(retried=(KeyError,))
    key = daemon.table().export("double", double(), traits)
    worker = daemon.table()
    assert worker.load(key).function(21) == 42
    assert worker.traits(key) == traits
    assert worker.export("double", worker.load(key).function, traits) == key
    assert worker.export("double", worker.load(key).function) != key
    assert worker.traits(bytes(16)) == Traits()


def test_calls_are_counted_only_where_that_is_asked_for() -> None:
    daemon = Daemon()
    plain, counted = (daemon.table().export("double", double(), Traits(max_calls=n)) for n in (0, 2))
    worker = daemon.table()
    ends: list[int] = []
    worker.on_last_call = lambda: ends.append(1)
    for _ in range(3):
        assert (worker.find(plain) or worker.begin_call(plain)).function(1) == 2
    assert worker.find(plain) is not None
    assert worker.load(counted).function(1) == 2
    for n_ends in (0, 1, 2):
        assert (worker.find(counted) or worker.begin_call(counted)).function(1) == 2
        assert len(ends) == n_ends


def test_an_unknown_key_is_a_typed_error() -> None:
    with pytest.raises(SerializationError, match="no function"):
        Daemon().table().load(bytes(16))


def test_what_a_function_captures_and_cannot_be_shipped_is_named() -> None:
    lock: Any = threading.Lock()

    def function() -> None:
        lock.acquire()

    with pytest.raises(SerializationError, match="lock") as caught:
        Daemon().table().export("function", function)
    assert "<closure lock>" in caught.value.path


def test_a_record_that_does_not_load_says_why() -> None:
    daemon = Daemon()
    daemon.records[FunctionKey(bytes(16))] = b"not a pickle"
    with pytest.raises(SerializationError, match="cannot be loaded"):
        daemon.table().load(bytes(16))
