# SPDX-License-Identifier: Apache-2.0
"""Generators that run as tasks: their items, one by one and at once, their errors and their options."""

import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.streams import count, fail_after, meet, note, values

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


# -- items


@pytest.mark.parametrize("n", [0, 1, 2, 10_000])
def test_items_come_in_order(n: int) -> None:
    assert values(count.remote(n)) == list(range(n))


def test_an_item_is_there_before_the_next_one_is_made(pipe: str) -> None:
    @shoal.remote
    def two(path: str) -> Iterator[int]:
        yield 1
        meet(path, writing=False)
        yield 2

    stream = two.remote(pipe)
    assert shoal.get(next(stream)) == 1
    meet(pipe, writing=True)
    assert shoal.get(next(stream)) == 2
    with pytest.raises(StopIteration):
        next(stream)


def test_items_are_objects_like_others() -> None:
    @shoal.remote
    def mixed() -> Iterator[Any]:
        yield None
        yield np.arange(100_000)
        yield {"inner": shoal.put([1, 2])}
        yield "x" * 100_000

    @shoal.remote
    def total(array: Any) -> int:
        return int(array.sum())

    refs = list(mixed.remote())
    nothing, array, box, text = shoal.get(refs)
    assert nothing is None
    assert not array.flags.writeable
    assert shoal.get(total.remote(refs[1])) == array.sum() == 4999950000
    assert shoal.get(box["inner"]) == [1, 2]
    assert text == "x" * 100_000
    assert len({ref.hex() for ref in refs}) == 4
    assert {ref.task_id() for ref in refs} == {refs[0].task_id()}


def test_items_survive_the_stream() -> None:
    stream = count.remote(100)
    first = next(stream)
    second = next(stream)
    del stream
    assert shoal.get([second, first]) == [1, 0]


def test_any_iterator_can_be_streamed() -> None:
    @shoal.remote(num_returns="streaming")
    def listed(n: int) -> Any:
        return [n, n + 1]

    @shoal.remote(num_returns="streaming")
    def number() -> Any:
        return 7

    assert values(listed.remote(3)) == [3, 4]
    with pytest.raises(TypeError, match="number declares a num_returns of what it yields, but returned one int"):
        shoal.get(next(number.remote()))


def test_streams_of_streams() -> None:
    @shoal.remote
    def doubled(n: int) -> Iterator[int]:
        for ref in count.remote(n):
            yield 2 * shoal.get(ref)

    @shoal.remote
    def tree(depth: int) -> Iterator[int]:
        yield depth
        if depth:
            for _ in range(2):
                yield from values(tree.remote(depth - 1))

    assert values(doubled.remote(1_000)) == list(range(0, 2_000, 2))
    assert len(values(tree.remote(5))) == 2**6 - 1


# -- the generator object


def test_what_a_stream_says_of_itself(pipe: str, tmp_path: Path) -> None:
    @shoal.remote
    def one(pipe: str, other: str) -> Iterator[int]:
        meet(pipe, writing=False)
        yield 1
        meet(other, writing=False)

    other = str(tmp_path / "other")  # a pipe for each meeting: the first may not be over when the second begins
    os.mkfifo(other)
    stream = one.remote(pipe, other)
    assert (stream.next_ready(), stream.is_finished()) == (False, False)
    meet(pipe, writing=True)
    assert shoal.wait([stream], timeout=60) == ([stream], [])
    assert (stream.next_ready(), stream.is_finished()) == (True, False)
    assert shoal.get(next(stream)) == 1
    assert shoal.wait([stream.completed()], timeout=0) == ([], [stream.completed()])
    meet(other, writing=True)
    assert shoal.get(stream.completed(), timeout=60) is None
    assert (stream.next_ready(), stream.is_finished()) == (False, True)
    assert list(stream) == []
    assert (stream.next_ready(), stream.is_finished()) == (False, True)
    assert repr(stream) == f"ObjectRefGenerator({stream.completed().hex()})"


def test_wait_takes_streams_among_refs(pipe: str) -> None:
    @shoal.remote
    def gated(path: str) -> Iterator[int]:
        meet(path, writing=False)
        yield 1

    slow, quick, ref = gated.remote(pipe), count.remote(1), shoal.put(1)
    assert shoal.wait([slow, quick], timeout=60) == ([quick], [slow])
    assert shoal.wait([slow, ref, quick], num_returns=2, timeout=60) == ([ref, quick], [slow])
    assert values(quick) == [0]
    assert shoal.wait([slow, quick, ref], timeout=60) == ([quick], [slow, ref])  # over, so ready
    assert shoal.wait([slow, quick, ref], num_returns=2, timeout=60) == ([quick, ref], [slow])
    assert shoal.wait([slow, quick, ref], num_returns=3, timeout=0) == ([quick, ref], [slow])
    meet(pipe, writing=True)
    assert shoal.wait([slow, quick, ref], num_returns=3, timeout=60) == ([slow, quick, ref], [])
    with pytest.raises(TypeError, match="element 1 is of type int"):
        shoal.wait([slow, 1])  # type: ignore[list-item]


def test_get_takes_refs_and_no_stream() -> None:
    with pytest.raises(TypeError, match="iterate over it"):
        shoal.get(count.remote(1))  # type: ignore[call-overload]


def test_a_stream_is_not_passed_on() -> None:
    stream = count.remote(1)
    for give in (shoal.put, lambda s: values(count.remote(s)), lambda s: shoal.put([s])):
        with pytest.raises(shoal.SerializationError, match="pass the refs that it yields"):
            give(stream)
    with pytest.raises(TypeError, match="pass the refs that it yields"):
        pickle.dumps(stream)
    assert values(stream) == [0]


def test_many_threads_take_each_item_once() -> None:
    stream = count.remote(5_000)
    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda _: values(stream), range(8)))
    assert sorted(n for part in parts for n in part) == list(range(5_000))


# -- errors


def test_an_error_is_the_last_item() -> None:
    stream = fail_after.remote(2)
    refs = list(stream)
    assert shoal.get(refs[:2]) == [0, 1]
    assert len(refs) == 3
    for ref in (refs[2], stream.completed()):
        with pytest.raises(ValueError, match="no more") as caught:
            shoal.get(ref)
        text = str(caught.value)
        assert text.count("File ") == 1, text  # of the user's own
    assert stream.is_finished()
    with pytest.raises(StopIteration):
        next(stream)


def test_errors_before_the_first_item() -> None:
    @shoal.remote
    def broken() -> int:
        raise KeyError("argument")

    for stream, kind in (
        (fail_after.remote(0), ValueError),
        (count.remote(broken.remote()), KeyError),
        (count.remote(), TypeError),
        (count.remote("x"), TypeError),
    ):
        refs = list(stream)
        assert len(refs) == 1
        with pytest.raises(kind):
            shoal.get(refs[0])


def test_an_item_that_cannot_be_pickled_ends_the_stream(tmp_path: Path) -> None:
    @shoal.remote
    def odd() -> Iterator[Any]:
        try:
            yield 1
            yield {"lock": threading.Lock()}
            yield 3
        finally:
            note(tmp_path / "log", "closed")

    refs = list(odd.remote())
    assert shoal.get(refs[0]) == 1
    assert len(refs) == 2
    with pytest.raises(shoal.SerializationError, match=r"value\['lock'\]"):
        shoal.get(refs[1])
    assert (tmp_path / "log").read_text() == "closed\n"


# -- all at once


def test_dynamic_returns_are_one_ref_to_all_refs() -> None:
    ref = count.options(num_returns="dynamic").remote(3)
    refs = shoal.get(ref)
    assert isinstance(refs, shoal.DynamicObjectRefGenerator)
    assert len(refs) == 3
    assert values(refs) == values(refs) == [0, 1, 2]
    again = shoal.get(shoal.put(refs))
    assert values(again) == [0, 1, 2]
    assert len(shoal.get(count.options(num_returns="dynamic").remote(0))) == 0


def test_an_error_is_the_last_of_dynamic_returns() -> None:
    refs = shoal.get(fail_after.options(num_returns="dynamic").remote(2))
    *good, bad = refs
    assert shoal.get(good) == [0, 1]
    with pytest.raises(ValueError, match="no more") as caught:
        shoal.get(bad)
    assert str(caught.value).count("File ") == 1, str(caught.value)
    with pytest.raises(ValueError, match="no more"):
        shoal.get(list(refs))


# -- options


def test_a_fixed_number_of_yields_is_a_list_of_refs() -> None:
    assert shoal.get(count.options(num_returns=3).remote(3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"num_returns": 1}, ValueError, "count is a generator"),
        ({"num_returns": 0}, ValueError, "count is a generator"),
        ({"num_returns": "all"}, TypeError, "streaming"),
        ({"max_items_ahead": 0}, ValueError, "max_items_ahead"),
        ({"max_items_ahead": 1.5}, TypeError, "max_items_ahead"),
        ({"max_items_ahead": 2, "num_returns": 3}, ValueError, "makes none"),
        ({"max_items_ahead": 2, "num_returns": "dynamic"}, ValueError, "makes none"),
        ({"max_items_ahead": 2, "_generator_backpressure_num_objects": 2}, TypeError, "one option"),
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        count.options(**options)


def test_no_bound_is_the_default() -> None:
    for nothing in (None, -1):
        assert values(count.options(_generator_backpressure_num_objects=nothing).remote(2)) == [0, 1]


def test_a_bound_needs_a_stream() -> None:
    with pytest.raises(ValueError, match="makes none"):

        @shoal.remote(max_items_ahead=2)
        def plain() -> int:
            return 1
