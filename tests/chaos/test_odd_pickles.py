# SPDX-License-Identifier: Apache-2.0
"""Values whose pickling or loading does something else: it exits, dawdles, swells, or finds nobody at home.

And calls with very many arguments. The right value or a typed error, soon, and the workers are as before.
"""

import gc
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import shoal

from .census import Census, await_until
from .odd_calls import assert_pool_intact, build, echo, soon_s

DAWDLE_S = 0.3
SWOLLEN = 60 << 20  # bytes


# -- reductions that do something else


class ExitingReduce:
    def __reduce__(self) -> Any:
        sys.exit(4)


class StoppingReduce:
    def __reduce__(self) -> Any:
        raise GeneratorExit


class RecursingReduce:
    def __reduce__(self) -> Any:
        return self.__reduce__()


class MemoryReduce:
    def __reduce__(self) -> Any:
        raise MemoryError


class DyingReduce:
    def __reduce__(self) -> Any:
        os._exit(5)


class SlowReduce:
    def __reduce__(self) -> Any:
        threading.Event().wait(DAWDLE_S)
        return int, (7,)


class SwollenReduce:
    def __reduce__(self) -> Any:
        return len, (bytes(SWOLLEN),)


class DawdlingLoad:
    def __reduce__(self) -> Any:
        return dawdle, ()


def dawdle() -> int:
    threading.Event().wait(DAWDLE_S)
    return 7


class SelfishReduce:
    """Its pickle calls Shoal itself."""

    def __reduce__(self) -> Any:
        return shoal.get, (shoal.put(7),)


class ReduceOfNobody:
    def __reduce__(self) -> Any:
        return None, ()


class ReduceToText:
    def __reduce__(self) -> Any:
        return "no_such_global"


class StateOfNobody:
    def __reduce__(self) -> Any:
        return object, (), {"x": 1}


class LyingLength(list[int]):
    def __len__(self) -> int:
        return 10**9


class BadEquality:
    def __eq__(self, other: object) -> bool:
        raise ValueError("do not compare me")

    __hash__ = None  # type: ignore[assignment]


class BadAttributes:
    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__reduce_ex__", "__reduce__", "__dict__", "__getstate__"):
            return super().__getattribute__(name)
        raise RuntimeError(name)


RIGHT: dict[str, tuple[Callable[[], Any], object]] = {
    "dawdles when pickled": (SlowReduce, 7),
    "dawdles when loaded": (DawdlingLoad, 7),
    "swells when pickled": (SwollenReduce, SWOLLEN),
    "calls shoal when loaded": (SelfishReduce, 7),
}
REFUSED_HERE: dict[str, tuple[Callable[[], Any], type[BaseException]]] = {
    "exits when pickled": (ExitingReduce, SystemExit),
    "stops when pickled": (StoppingReduce, GeneratorExit),
    "recurses when pickled": (RecursingReduce, shoal.SerializationError),
    "has no memory when pickled": (MemoryReduce, (MemoryError, shoal.SerializationError)),  # type: ignore[dict-item]
    "reduces to nobody": (ReduceOfNobody, shoal.SerializationError),
    "reduces to a missing global": (ReduceToText, shoal.SerializationError),
}


@pytest.mark.parametrize(("make", "expected"), RIGHT.values(), ids=RIGHT.keys())
def test_values_that_take_their_time_or_room(shared_node: Census, make: Callable[[], Any], expected: object) -> None:
    for send in (
        lambda: shoal.get(shoal.put(make()), timeout=10),
        lambda: shoal.get(echo.remote(make()), timeout=10),
        lambda: shoal.get(echo.remote(shoal.put([make()])), timeout=10)[0],
        lambda: shoal.get(build.remote(make), timeout=10),
    ):
        started_s = time.monotonic()
        assert send() == expected
        assert time.monotonic() - started_s < 2 * DAWDLE_S + soon_s()
    assert_pool_intact()


@pytest.mark.parametrize(("make", "expected"), REFUSED_HERE.values(), ids=REFUSED_HERE.keys())
def test_reductions_that_raise_anything(
    shared_node: Census, make: Callable[[], Any], expected: type[BaseException]
) -> None:
    for send in (lambda: shoal.put(make()), lambda: echo.remote(make()), lambda: echo.remote([{"x": make()}])):
        started_s = time.monotonic()
        with pytest.raises(expected):
            send()
        assert time.monotonic() - started_s < soon_s()
    with pytest.raises(shoal.ShoalError):
        shoal.get(build.remote(make), timeout=10)
    assert_pool_intact()


def test_a_reduction_that_ends_the_process(shared_node: Census) -> None:
    with pytest.raises(shoal.WorkerCrashedError):
        shoal.get(build.remote(DyingReduce), timeout=10)
    assert_pool_intact()


def test_odd_objects_that_are_values_all_the_same(shared_node: Census) -> None:
    assert list.__len__(shoal.get(echo.remote(LyingLength([1, 2])), timeout=10)) == 2
    assert type(shoal.get(echo.remote(BadEquality()), timeout=10)) is BadEquality
    assert object.__getattribute__(shoal.get(echo.remote(BadAttributes()), timeout=10), "__class__") is BadAttributes
    with pytest.raises(shoal.ShoalError):
        shoal.get(echo.remote(StateOfNobody()), timeout=10)
    assert_pool_intact()


def test_looking_for_the_culprit_keeps_no_object(shared_node: Census) -> None:
    """What cannot be pickled is tried part by part, and refs among the parts stay as free to go as they were."""

    def make() -> list[Any]:
        return [shoal.put(1), threading.Lock(), {"x": shoal.put(np.zeros(10_000))}]

    before = shared_node.held()["live_entries"]
    for send in (shoal.put, echo.remote, lambda value: echo.remote([value]), lambda _: shoal.get(build.remote(make))):
        with pytest.raises((shoal.SerializationError, shoal.TaskError)):
            send(make())
    gc.collect()
    assert await_until(lambda: shared_node.held()["live_entries"] <= before)


# -- classes that are not where the value goes


@pytest.fixture
def module_of_nobody() -> Iterator[types.ModuleType]:
    """A module that this process has and no worker can import."""
    module = types.ModuleType("module_of_nobody")
    exec("class Here:\n    pass\nclass HereError(Exception):\n    pass\ndef here():\n    return 1\n", module.__dict__)
    module.__file__ = "/nowhere/module_of_nobody.py"
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_classes_that_the_worker_cannot_import(shared_node: Census, module_of_nobody: types.ModuleType) -> None:
    for ref in (echo.remote(module_of_nobody.Here()), echo.remote(shoal.put(module_of_nobody.Here()))):
        with pytest.raises(shoal.TaskError, match="module_of_nobody"):
            shoal.get(ref, timeout=10)
    with pytest.raises(shoal.ShoalError, match="module_of_nobody"):
        shoal.get(shoal.remote(module_of_nobody.here).remote(), timeout=10)
    with pytest.raises(shoal.ActorDiedError, match="module_of_nobody"):
        shoal.get(Keeper.remote(module_of_nobody.Here()).get.remote(), timeout=10)
    assert_pool_intact()


def make_foreign(is_raised: bool) -> Any:
    """An object, or an error, of a module that only the worker has."""
    module = types.ModuleType("module_of_worker")
    exec("class There:\n    pass\nclass ThereError(ValueError):\n    pass\n", module.__dict__)
    sys.modules[module.__name__] = module
    try:
        if is_raised:
            raise module.ThereError("from there")
        return module.There()
    finally:
        sys.modules.setdefault(module.__name__, module)


def test_classes_that_the_driver_cannot_import(shared_node: Census) -> None:
    with pytest.raises((ImportError, shoal.ShoalError), match="module_of_worker"):
        shoal.get(build.remote(lambda: make_foreign(False)), timeout=10)
    with pytest.raises(shoal.TaskError, match="from there"):
        shoal.get(build.remote(lambda: make_foreign(True)), timeout=10)
    assert_pool_intact()


@shoal.remote
class Keeper:
    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self) -> Any:
        return self.value


# -- sizes of calls


@shoal.remote(max_retries=0)
def count(*args: Any, **kwargs: Any) -> int:
    return len(args) + len(kwargs)


def test_a_hundred_thousand_arguments(shared_node: Census) -> None:
    for call in (
        lambda: count.remote(*range(100_000)),
        lambda: count.remote(**{f"k{n}": n for n in range(100_000)}),
        lambda: count.remote(*[shoal.put(n) for n in range(100_000)]),
    ):
        started_s = time.monotonic()
        assert shoal.get(call(), timeout=20) == 100_000
        assert time.monotonic() - started_s < soon_s()
    assert_pool_intact()
