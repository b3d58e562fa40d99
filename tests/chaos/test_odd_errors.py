# SPDX-License-Identifier: Apache-2.0
"""Errors of every kind arrive as what they are, and their worker lives on."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import shoal

from .census import Census
from .odd_calls import assert_pool_intact, build, echo, soon_s


class TwoArguments(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.one, self.two = one, two


class WithLock(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class BadStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Slotted(Exception):
    __slots__ = ("x",)


def raises(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def run() -> Any:
        raise make()

    return run


def recurse() -> Any:
    return recurse()


def chain_of_causes() -> Any:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ValueError("second") from error


def circle_of_causes() -> Any:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    raise first


ERRORS: dict[str, tuple[Callable[[], Any], type[BaseException]]] = {
    "two arguments": (raises(lambda: TwoArguments(1, 2)), TwoArguments),
    "holds a lock": (raises(WithLock), shoal.TaskError),
    "no text": (raises(BadStr), shoal.TaskError),
    "slotted": (raises(Slotted), Slotted),
    "SystemExit": (raises(lambda: SystemExit(3)), shoal.ShoalError),
    "SystemExit of 0": (raises(lambda: SystemExit(0)), shoal.ShoalError),
    "KeyboardInterrupt": (raises(KeyboardInterrupt), shoal.TaskError),
    "GeneratorExit": (raises(GeneratorExit), shoal.TaskError),
    "StopIteration": (raises(StopIteration), shoal.TaskError),
    "bare BaseException": (raises(BaseException), shoal.TaskError),
    "recursion": (recurse, RecursionError),
    "memory": (raises(MemoryError), MemoryError),
    "unicode": (lambda: b"\xff".decode(), UnicodeDecodeError),
    "os error": (lambda: os.stat("/nowhere/at/all"), FileNotFoundError),
    "key error": (lambda: {}[("a", 1)], KeyError),
    "causes": (chain_of_causes, ValueError),
    "circle of causes": (circle_of_causes, ValueError),
    "huge message": (raises(lambda: ValueError("x" * 10_000_000)), ValueError),
    "surrogates": (raises(lambda: ValueError("\udc80")), ValueError),
    "surrogates in a name": (raises(lambda: type("A\udc80", (ValueError,), {})("x")), ValueError),
    "timeout": (raises(TimeoutError), TimeoutError),
    "unpicklable argument": (raises(lambda: ValueError(threading.Lock())), shoal.TaskError),
    "an error of shoal": (raises(lambda: shoal.GetTimeoutError("mine")), shoal.TaskError),
    "class as error": (raises(lambda: type("Local", (ValueError,), {})("x")), ValueError),
    "abort": (os.abort, shoal.WorkerCrashedError),
    "os._exit": (lambda: os._exit(0), shoal.WorkerCrashedError),
}


@pytest.mark.parametrize(("run", "expected"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_arrive_as_what_they_are(
    shared_node: Census, run: Callable[[], Any], expected: type[BaseException]
) -> None:
    started_s = time.monotonic()
    ref = build.remote(run)
    for _ in range(2):
        with pytest.raises(expected) as caught:
            shoal.get(ref, timeout=10)
        assert isinstance(caught.value, shoal.ShoalError)
        del caught
    dependent = echo.remote(ref)
    with pytest.raises(shoal.ShoalError):
        shoal.get(dependent, timeout=10)
    assert time.monotonic() - started_s < soon_s()
    assert_pool_intact()


@pytest.mark.parametrize("returned", [(), (1,), (1, 2, 3), None, 5], ids=repr)
def test_a_wrong_number_of_results_is_an_error(shared_node: Census, returned: Any) -> None:
    refs = build.options(num_returns=2).remote(lambda: returned)
    for ref in refs:
        with pytest.raises((ValueError, TypeError)) as caught:
            shoal.get(ref, timeout=10)
        assert isinstance(caught.value, shoal.TaskError)
        del caught
    assert_pool_intact()
