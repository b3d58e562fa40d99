# SPDX-License-Identifier: Apache-2.0
"""Values and errors that no one expects: the right value or a typed error, soon, and a node as good as before."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import math
import os
import re
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import shoal

from .census import Census
from .odd_calls import assert_pool_intact, build, echo, soon_s


class Recursive:
    def __init__(self) -> None:
        self.me = self


class Slots:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, [2]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slots) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int
    y: tuple[int, ...] = ()


class Colour(enum.Flag):
    RED = 1
    BLUE = 2


class DictChild(dict[str, int]):
    extra: int = 0


class ArrayChild(np.ndarray[Any, np.dtype[Any]]):
    pass


def deep_list(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def strided() -> Any:
    return np.arange(1000.0).reshape(10, 100)[::2, 5:50:3]


def readonly() -> Any:
    made = np.arange(100)
    made.flags.writeable = False
    return made


STRUCTURED = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", "U5")])

EQUAL: dict[str, Callable[[], Any]] = {
    "lone surrogates": lambda: "a\udc80b\ud800",
    "nul bytes": lambda: "\0" * 100,
    "huge integer": lambda: 1 << 100_000,
    "minus zero": lambda: -0.0,
    "infinities": lambda: [math.inf, -math.inf],
    "complex": lambda: complex(1, -2),
    "ellipsis and friends": lambda: (..., NotImplemented, None, True),
    "types": lambda: [int, type, collections.OrderedDict, types.SimpleNamespace],
    "builtin functions": lambda: [len, math.sin, os.getpid],
    "ranges and slices": lambda: [range(0, 10**30, 7), slice(1, None, 3)],
    "frozen sets of sets": lambda: {frozenset({frozenset({1}), frozenset()})},
    "10^5 elements": lambda: list(range(100_000)),
    "10^5 keys": lambda: {str(n): n for n in range(100_000)},
    "deep list": lambda: deep_list(200),
    "dates": lambda: datetime.datetime(2020, 2, 29, tzinfo=datetime.timezone.utc),
    "decimal and fraction": lambda: [
        decimal.Decimal("NaN").is_nan(),
        decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
    ],
    "regular expression": lambda: re.compile("a(?P<b>c)"),
    "enum flag": lambda: Colour.RED | Colour.BLUE,
    "slots": Slots,
    "dataclass": lambda: Frozen(1, (2, 3)),
    "default dict": lambda: collections.defaultdict(list, {1: [2]}),
    "ordered dict": lambda: collections.OrderedDict([(2, 1), (1, 2)]),
    "deque": lambda: collections.deque([1, 2], maxlen=2),
    "counter": lambda: collections.Counter("abca"),
    "bytearray": lambda: bytearray(b"x" * 100_000),
    "array module": lambda: array.array("d", range(1000)),
    "exception as value": lambda: [type(ValueError("a")), ValueError("a").args],
    "namespace": lambda: types.SimpleNamespace(a=1, b=[2]),
    "mapping proxy free dict child": lambda: DictChild(a=1),
}

ARRAYS: dict[str, Callable[[], Any]] = {
    "0-d": lambda: np.array(3.5),
    "0-d object": lambda: np.array(None, dtype=object),
    "empty": lambda: np.empty((0, 3)),
    "empty in the middle": lambda: np.empty((3, 0, 5), dtype=np.int8),
    "strided": strided,
    "reversed": lambda: np.arange(50_000)[::-1],
    "broadcast": lambda: np.broadcast_to(np.arange(5), (1000, 5)),
    "fortran": lambda: np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "transposed": lambda: np.arange(60_000.0).reshape(20, 30, 100).transpose(2, 0, 1),
    "readonly": readonly,
    "objects": lambda: np.array([1, "a", None, [2]], dtype=object),
    "structured": lambda: np.array([(1, (2.0, 3.0), "abc")] * 5_000, dtype=STRUCTURED),
    "record": lambda: np.rec.array([(1, 2.0)], dtype=[("x", int), ("y", float)]),
    "big endian": lambda: np.arange(50_000, dtype=">i4"),
    "half": lambda: np.arange(50_000, dtype=np.float16),
    "bool": lambda: np.arange(50_000) % 3 == 0,
    "unicode": lambda: np.array(["a", "\u20ac", ""] * 10_000),
    "bytes": lambda: np.array([b"abc", b""] * 10_000),
    "datetime": lambda: np.arange("2020-01", "2025-01", dtype="datetime64[D]"),
    "void": lambda: np.zeros(10_000, dtype="V7"),
    "complex": lambda: np.arange(30_000) * 1j,
    "masked": lambda: np.ma.masked_array(np.arange(10_000), mask=np.arange(10_000) % 2 == 0),
    "subclass": lambda: np.arange(30_000).view(ArrayChild),
    "scalar": lambda: np.float32(1.5),
    "many": lambda: [np.full(3000, n) for n in range(500)],
    "unaligned": lambda: np.frombuffer(bytes(80_001), dtype=np.uint8)[1:].view(np.float64),
    "memmap-like bytes": lambda: np.frombuffer(b"x" * 70_000, dtype="S7"),
}


def ways(value: Any, make: Callable[[], Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "put", lambda: shoal.get(shoal.put(value), timeout=10)
    yield "argument", lambda: shoal.get(echo.remote(value), timeout=10)
    yield "stored argument", lambda: shoal.get(echo.remote(shoal.put(value)), timeout=10)
    yield "inside", lambda: shoal.get(echo.remote({"x": [value]}), timeout=10)["x"][0]
    yield "result", lambda: shoal.get(build.remote(make), timeout=10)


@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL.keys())
def test_values_come_back_equal(shared_node: Census, make: Callable[[], Any]) -> None:
    value = make()
    for way, send in ways(value, make):
        started_s = time.monotonic()
        got = send()
        assert time.monotonic() - started_s < soon_s(), way
        assert got == value, way
        assert type(got) is type(value), way
    assert_pool_intact()


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_come_back_equal(shared_node: Census, make: Callable[[], Any]) -> None:
    value = make()
    for way, send in ways(value, make):
        got = send()
        assert type(got) is type(value), way
        for one, other in zip(got, value, strict=True) if isinstance(value, list) else [(got, value)]:
            assert one.dtype == other.dtype, way
            assert one.shape == other.shape, way
            np.testing.assert_array_equal(one, other, way)
        del got, one, other
    assert_pool_intact()


def test_values_that_equal_nothing_or_themselves(shared_node: Census) -> None:
    loop = Recursive()
    got = shoal.get(echo.remote(loop))
    assert got.me is got
    ring: list[Any] = []
    ring.append(ring)
    back = shoal.get(echo.remote(ring))
    assert back[0] is back
    nan = float("nan")
    (key,) = shoal.get(echo.remote({nan: 1}))
    assert math.isnan(key)
    assert math.copysign(1, shoal.get(echo.remote(-0.0))) == -1
    twice = [1, 2]
    pair = shoal.get(echo.remote([twice, twice]))
    assert pair[0] is pair[1]
    shared = np.zeros(50_000)
    first, second = shoal.get(echo.remote([shared, shared]))
    assert first is second or np.shares_memory(first, second)
    view = shoal.get(shoal.put(memoryview(bytes(100_000))))
    assert bytes(view) == bytes(100_000)
    child = DictChild(a=1)
    child.extra = 5
    assert shoal.get(echo.remote(child)).extra == 5
    assert_pool_intact()


# -- what cannot be pickled


class RaisingReduce:
    def __reduce__(self) -> Any:
        raise ValueError("no")


class InterruptingReduce:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


class NonsenseReduce:
    def __reduce__(self) -> Any:
        return 5


class EndlessReduce:
    def __reduce__(self) -> Any:
        return EndlessReduce, (EndlessReduce(),)


class RaisingGetattr:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def raise_at_load() -> Any:
    raise ValueError("at load")


class RaisingLoad:
    def __reduce__(self) -> Any:
        return raise_at_load, ()


def exit_at_load() -> Any:
    sys.exit(4)


class ExitingLoad:
    def __reduce__(self) -> Any:
        return exit_at_load, ()


def die_at_load() -> Any:
    os._exit(5)


class DyingLoad:
    def __reduce__(self) -> Any:
        return die_at_load, ()


def generator() -> Iterator[int]:
    yield 1


UNPICKLABLE: dict[str, Callable[[], Any]] = {
    "lock": threading.Lock,
    "condition": threading.Condition,
    "thread": threading.Thread,
    "generator": generator,
    "file": lambda: os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"),
    "frame": lambda: sys._getframe(),
    "weakref": lambda: weakref.ref(threading.Thread()),
    "raising __reduce__": RaisingReduce,
    "nonsense __reduce__": NonsenseReduce,
    "endless __reduce__": EndlessReduce,
    "too deep": lambda: deep_list(100_000),
    "weak value dict": lambda: weakref.WeakValueDictionary({1: Slots}),
    "lock in an object": lambda: types.SimpleNamespace(a=[{"b": threading.Lock()}]),
    "lock beside refs": lambda: [shoal.put(1), threading.Lock(), shoal.put(np.zeros(10_000))],
}


@pytest.mark.parametrize("make", UNPICKLABLE.values(), ids=UNPICKLABLE.keys())
def test_what_cannot_be_pickled_is_a_typed_error(shared_node: Census, make: Callable[[], Any]) -> None:
    value = make()
    for send in (
        lambda: shoal.put(value),
        lambda: echo.remote(value),
        lambda: echo.remote([1, {"x": value}]),
        lambda: shoal.get(build.remote(make), timeout=10),
    ):
        started_s = time.monotonic()
        with pytest.raises((shoal.SerializationError, shoal.TaskError)) as caught:
            send()
        assert time.monotonic() - started_s < soon_s()
        assert isinstance(caught.value, (TypeError, shoal.TaskError))
        del caught
    assert_pool_intact()


def test_ctrl_c_in_the_midst_of_pickling(shared_node: Census) -> None:
    for send in (shoal.put, echo.remote):
        with pytest.raises(KeyboardInterrupt):
            send([1, InterruptingReduce()])
    assert_pool_intact()


def test_values_that_cannot_be_loaded(shared_node: Census) -> None:
    with pytest.raises(shoal.TaskError, match="at load"):
        shoal.get(echo.remote(RaisingLoad()), timeout=10)
    with pytest.raises(shoal.ShoalError):
        shoal.get(echo.remote(ExitingLoad()), timeout=10)
    assert_pool_intact()
    with pytest.raises(shoal.WorkerCrashedError):
        shoal.get(echo.remote(DyingLoad()), timeout=10)
    assert_pool_intact()
    for ref in (shoal.put(RaisingLoad()), build.remote(RaisingLoad)):
        with pytest.raises(ValueError, match="at load"):
            shoal.get(ref, timeout=10)
        with pytest.raises(shoal.TaskError):
            shoal.get(echo.remote(ref), timeout=10)
    assert_pool_intact()


# -- shapes of calls


@shoal.remote(max_retries=0)
def count(*args: Any, **kwargs: Any) -> int:
    return len(args) + len(kwargs)


def test_ten_thousand_arguments(shared_node: Census) -> None:
    assert shoal.get(count.remote(*range(10_000))) == 10_000
    assert shoal.get(count.remote(**{f"k{n}": n for n in range(10_000)})) == 10_000
    refs = [shoal.put(n) for n in range(10_000)]
    assert shoal.get(count.remote(*refs)) == 10_000
    assert shoal.get(count.remote(refs)) == 1
    assert_pool_intact()


def test_functions_that_capture_refs_handles_and_modules(shared_node: Census) -> None:
    ref = shoal.put(41)
    shared_node.before["live_entries"] += 1  # what a shipped function captures is kept until the job ends
    assert shoal.get(build.remote(lambda: shoal.get(ref) + 1)) == 42
    assert shoal.get(build.remote(functools.partial(math.hypot, 3, 4))) == 5
    assert shoal.get(echo.remote([os, np])) == [os, np]
    assert shoal.get(echo.remote(lambda x: x + 1))(1) == 2
    assert shoal.get(echo.remote(Frozen(1).__eq__))(Frozen(1)) is True
    buffer = io.BytesIO(b"abc")
    buffer.seek(1)
    assert shoal.get(echo.remote(buffer)).read() == b"bc"
    assert next(shoal.get(echo.remote(itertools.count(3)))) == 3

    @shoal.remote
    def again(n: int) -> int:
        return n if n == 0 else shoal.get(again.remote(n - 1)) + 1

    assert shoal.get(again.remote(5)) == 5
    assert_pool_intact()
