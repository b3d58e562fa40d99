# SPDX-License-Identifier: Apache-2.0
"""`wait`: order, bounds, time-outs and early finishers."""

import os
from pathlib import Path
from typing import Any

import pytest

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote(num_cpus=0)
def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def gate(folder: Path, name: str) -> shoal.ObjectRef[str]:
    """A task that ends when `open_gate` is called."""
    os.mkfifo(folder / name)
    return read.remote(str(folder / name))


def open_gate(folder: Path, name: str) -> None:
    with open(folder / name, "w") as file:
        file.write(name)


def test_ready_and_rest_keep_the_order_of_the_refs(tmp_path: Path) -> None:
    closed = gate(tmp_path, "closed")
    a, b, c = (shoal.put(n) for n in "abc")
    assert shoal.wait([a, closed, b, c], num_returns=3) == ([a, b, c], [closed])
    open_gate(tmp_path, "closed")


def test_ready_has_at_most_num_returns(tmp_path: Path) -> None:
    refs = [shoal.put(n) for n in range(5)]
    ready, rest = shoal.wait(refs, num_returns=2)
    assert (len(ready), len(rest)) == (2, 3)
    assert ready + rest == refs or set(ready) | set(rest) == set(refs)


def test_early_finishers_come_first(tmp_path: Path) -> None:
    names = ["first", "second", "third"]
    refs = {name: gate(tmp_path, name) for name in names}
    left = list(refs.values())
    for name in ("third", "first", "second"):
        open_gate(tmp_path, name)
        ready, left = shoal.wait(left)
        assert ready == [refs[name]]
    assert left == []


def test_time_out_gives_what_is_ready(tmp_path: Path) -> None:
    closed, done = gate(tmp_path, "closed"), shoal.put(1)
    assert shoal.wait([closed, done], num_returns=2, timeout=0.02) == ([done], [closed])
    assert shoal.wait([closed], timeout=0) == ([], [closed])
    assert shoal.wait([closed, done], num_returns=2, timeout=0) == ([done], [closed])
    open_gate(tmp_path, "closed")


def test_an_error_is_ready() -> None:
    @shoal.remote
    def fail() -> None:
        raise ValueError

    ref = fail.remote()
    assert shoal.wait([ref], timeout=60) == ([ref], [])


def test_a_loop_over_many_refs_sees_each_once() -> None:
    @shoal.remote
    def number(n: int) -> int:
        return n

    left = [number.remote(n) for n in range(1_000)]
    seen = []
    while left:
        ready, left = shoal.wait(left)
        seen += shoal.get(ready)
    assert sorted(seen) == list(range(1_000))


def test_waiting_again_and_again_with_a_time_out_leaves_the_ref_usable(tmp_path: Path) -> None:
    closed = gate(tmp_path, "closed")
    for _ in range(200):
        assert shoal.wait([closed], timeout=0.0001) == ([], [closed])
    open_gate(tmp_path, "closed")
    assert shoal.get(closed) == "closed"


def test_no_refs_are_waited_for_at_once() -> None:
    assert shoal.wait([]) == ([], [])


@pytest.mark.parametrize("num_returns", [0, -1, 3])
def test_num_returns_out_of_range_is_refused(num_returns: int) -> None:
    with pytest.raises(ValueError, match="num_returns"):
        shoal.wait([shoal.put(1), shoal.put(2)], num_returns=num_returns)


def test_a_ref_that_is_there_twice_is_refused() -> None:
    ref = shoal.put(1)
    with pytest.raises(ValueError, match=r"(?i)twice|duplicate|unique"):
        shoal.wait([ref, ref])


def test_a_negative_time_out_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout"):
        shoal.wait([shoal.put(1)], timeout=-1)


@pytest.mark.parametrize("amount", ["1", [], 1.5, None])
def test_what_is_no_number_is_refused_by_name(amount: Any) -> None:
    with pytest.raises(TypeError, match="num_returns"):
        shoal.wait([shoal.put(1)], num_returns=amount)
    if isinstance(amount, (str, list)):
        with pytest.raises(TypeError, match="timeout"):
            shoal.wait([shoal.put(1)], timeout=amount)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="timeout"):
            shoal.get(shoal.put(1), timeout=amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("refs", [1, None, "refs"])
def test_only_a_list_is_taken(refs: Any) -> None:
    with pytest.raises(TypeError, match="list"):
        shoal.wait(refs)


def test_a_single_ref_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="list"):
        shoal.wait(shoal.put(1))  # type: ignore[arg-type]


def test_elements_must_be_refs() -> None:
    with pytest.raises(TypeError):
        shoal.wait([shoal.put(1), 2])  # type: ignore[list-item]
