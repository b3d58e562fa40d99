# SPDX-License-Identifier: Apache-2.0
"""Every kind of value survives every way: put, argument, return."""

import array
import dataclasses
import datetime
import decimal
import enum
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
def identity(x: Any) -> Any:
    return x


def ways(value: Any) -> Iterator[Any]:
    """The value as put, as an argument returned, and as both nested in containers."""
    yield shoal.get(shoal.put(value))
    yield shoal.get(identity.remote(value))
    yield shoal.get(identity.remote(shoal.put(value)))
    yield shoal.get(identity.remote(x=[{"k": (value,)}]))[0]["k"][0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**100,
        1.5,
        float("inf"),
        1 + 2j,
        "",
        "text \u00e9 \U0001f420",
        b"",
        b"bytes",
        bytes(range(256)) * 1000,
        (),
        (1, (2, (3,))),
        [],
        [[], [[]]],
        {},
        {"a": {"b": {}}},
        {1, 2},
        frozenset({1}),
        range(5),
        slice(1, 2),
        ...,
        NotImplemented,
        datetime.datetime(2020, 2, 29, tzinfo=datetime.timezone.utc),
        decimal.Decimal("1.1"),
        int,
        len,
        np.float32,
    ],
    ids=repr,
)
def test_plain_values(value: Any) -> None:
    for got in ways(value):
        assert got == value
        assert type(got) is type(value)


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 4096, 65_536, 1_000_003])
def test_bytes_and_their_kin_of_every_size(size: int) -> None:
    data = (b"0123456789" * (size // 10 + 1))[:size]
    for got in ways(data):
        assert got == data
    for got in ways(bytearray(data)):
        assert type(got) is bytearray
        assert got == data
    for got in ways(array.array("b", data)):
        assert bytes(got) == data


def test_a_memoryview_arrives_as_its_bytes() -> None:
    data = memoryview(b"0123456789" * 1000)
    for got in ways(data):
        assert bytes(got) == bytes(data)


def test_a_text_of_a_megabyte() -> None:
    text = "\u00e9" * 500_000
    for got in ways(text):
        assert got == text


DTYPES = ["?", "i1", "u2", "<i4", ">i4", "i8", "f2", "f4", ">f8", "c8", "c16", "S5", "U7", "M8[s]", "m8[ms]", "V3"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 3, 10_000])
def test_arrays_of_every_dtype(dtype: str, n: int) -> None:
    values = np.frombuffer((bytes(range(1, 100)) * (n * 32 // 99 + 1))[: n * np.dtype(dtype).itemsize], dtype="u1")
    value = (values % 2 if dtype == "?" else values).view(dtype) if n else np.empty(0, dtype)
    if dtype == "U7":
        value = np.array(["text"] * n, dtype)
    for got in ways(value):
        assert got.dtype == value.dtype
        assert got.shape == value.shape
        assert got.tobytes() == value.tobytes()


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a.T,
        lambda a: np.asfortranarray(a),
        lambda a: a[::2],
        lambda a: a[:, ::3],
        lambda a: a[::-1, ::-1],
        lambda a: a[5:5],
        lambda a: a[3, 4],
        lambda a: np.broadcast_to(a[0], a.shape),
        lambda a: a.reshape(-1, 2, 2),
        lambda a: np.moveaxis(a.reshape(-1, 2, 2), 0, -1),
    ],
)
@pytest.mark.parametrize("rows", [10, 1000])
def test_arrays_of_every_order_and_stride(view: Any, rows: int) -> None:
    value = view(np.arange(rows * 12).reshape(rows, 12))
    for got in ways(value):
        np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(40_000).reshape(200, 200)[:, ::2],
        np.arange(40_000).reshape(20, 20, 100).transpose(1, 0, 2),
        np.arange(40_000)[::-2],
        np.arange(40_000).astype("M8[s]"),
    ],
    ids=["gaps", "turned", "backwards", "dates"],
)
@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: [a], lambda a: {"x": (1, a)}], ids=["bare", "list", "dict"])
def test_whatever_its_layout_an_array_is_read_where_it_lies(value: Any, wrap: Any) -> None:
    def first_array(got: Any) -> Any:
        return got if isinstance(got, np.ndarray) else first_array(got["x"][1] if isinstance(got, dict) else got[0])

    for ref in (shoal.put(wrap(value)), identity.remote(wrap(value))):
        first, second = first_array(shoal.get(ref)), first_array(shoal.get(ref))
        assert np.shares_memory(first, second)
        assert not first.flags.writeable
        np.testing.assert_array_equal(first, value)


def test_structured_object_and_zero_dimensional_arrays() -> None:
    record = np.array([(1, 2.5, "a")] * 1000, dtype=[("n", "i4"), ("x", "f8"), ("s", "U3")])
    for got in ways(record):
        assert got.dtype == record.dtype
        assert (got == record).all()
    for got in ways(np.array([{"a": 1}, None, "x"], dtype=object)):
        assert list(got) == [{"a": 1}, None, "x"]
    for got in ways(np.array(7)):
        assert got.shape == ()
        assert got == 7


def test_many_arrays_in_one_value() -> None:
    value = {n: np.full(n * 100, n) for n in range(50)}
    for got in ways(value):
        assert all((got[n] == value[n]).all() and len(got[n]) == n * 100 for n in value)


def test_the_same_array_twice_in_a_value_stays_one() -> None:
    a = np.zeros(100_000)
    first, second = shoal.get(shoal.put([a, a]))
    assert first is second


def test_classes_of_the_driver_cross_by_value() -> None:
    class Colour(enum.Enum):
        RED = 1

    @dataclasses.dataclass
    class Point:
        x: int
        y: Any

    got = shoal.get(identity.remote(Point(1, Colour.RED)))
    assert (got.x, got.y.name) == (1, "RED")
    assert shoal.get(identity.remote(lambda x: x + 1))(1) == 2


def test_refs_nested_at_any_depth_stay_usable() -> None:
    ref = shoal.put("leaf")
    for depth in range(5):
        ref = shoal.put([ref, depth])  # type: ignore[assignment]
    value: Any = ref
    for _ in range(5):
        value = shoal.get(value)[0]
    assert shoal.get(value) == "leaf"


def test_refs_in_values_that_need_the_second_pickler() -> None:
    got = shoal.get(identity.remote({"f": lambda: 1, "ref": shoal.put(5), "a": np.arange(10_000)}))
    assert got["f"]() == 1
    assert shoal.get(got["ref"]) == 5
    assert got["a"][-1] == 9_999


def test_a_deeply_nested_value_is_an_error_not_a_crash() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises((shoal.SerializationError, RecursionError)):
        shoal.put(value)


def test_pickling_that_submits_tasks_is_allowed() -> None:
    class Lazy:
        def __reduce__(self) -> Any:
            return int, (shoal.get(identity.remote(41)) + 1,)

    assert shoal.get(shoal.put(Lazy())) == 42
    assert shoal.get(identity.remote(Lazy())) == 42
