# SPDX-License-Identifier: Apache-2.0
"""A full store that may not spill is a typed error for whoever asks for more; all works once values are dropped."""

import gc
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import shoal

from .census import Census, await_until

STORE_BYTES = 256 << 20
LIMIT_S = 20.0
PAGE = 4096
BOUNDARIES = sorted(
    {0, 1, *(edge + step for edge in (64, PAGE, 64 << 10, 2 << 20, 32 << 20) for step in (-1, 0, 1)), 128 << 20}
)


@pytest.fixture
def small_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Census]:
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "0.1")
    shoal.init(num_cpus=2, object_store_memory=STORE_BYTES, object_spilling_limit=0)
    try:
        census = Census()
        yield census
        census.assert_as_before()
    finally:
        shoal.shutdown()


@shoal.remote(max_retries=0)
def make(n: int) -> bytes:
    return bytes(n)


@shoal.remote(max_retries=0)
def length(value: bytes) -> int:
    return len(value)


@shoal.remote(max_retries=0)
def put_all(n: int, each: int) -> list["shoal.ObjectRef[bytes]"]:
    return [shoal.put(bytes(each)) for _ in range(n)]


def fill(each: int) -> list["shoal.ObjectRef[np.ndarray[tuple[int], np.dtype[np.uint8]]]"]:
    refs = []
    while len(refs) * each <= STORE_BYTES:
        try:
            refs.append(shoal.put(np.full(each, len(refs) % 251, dtype=np.uint8)))
        except shoal.ObjectStoreFullError:
            return refs
    raise AssertionError("more fits than there is")


def await_room(move: Callable[[], int], n_bytes: int) -> bool:
    """Wait until the store has room for `move`, which says how many bytes it moved.

    A full store turns people away soon here, and what was let go of is there when its holder and the daemon have run.
    """

    def has_room() -> bool:
        try:
            return move() == n_bytes
        except shoal.ObjectStoreFullError:
            return False

    return await_until(has_room)


@pytest.mark.parametrize("each", [100_000, 3 << 20, 31 << 20, 40 << 20])
def test_filled_by_puts_then_emptied(small_store: Census, each: int) -> None:
    for _ in range(3):
        refs = fill(each)
        assert len(refs) * each > STORE_BYTES // 4
        for n in (0, len(refs) // 2, len(refs) - 1):
            assert (shoal.get(refs[n]) == n % 251).all()
        assert shoal.get(length.remote(b"small things still work")) == 23
        del refs
        gc.collect()
        assert await_until(lambda: small_store.held()["live_bytes"] <= small_store.before["live_bytes"])
        assert await_room(lambda: shoal.get(length.remote(shoal.put(bytes(64 << 20))), timeout=LIMIT_S), 64 << 20)


def test_filled_at_random_sizes(small_store: Census, dice: random.Random, pick: Callable[[int, int], int]) -> None:
    kept: list[tuple[int, int, shoal.ObjectRef[bytes]]] = []
    n_full = 0
    for n in range(pick(800, 30_000)):
        size = int(2 ** (dice.random() * 26))
        try:
            kept.append((n % 251, size, shoal.put(bytes([n % 251]) * size)))
        except shoal.ObjectStoreFullError:
            n_full += 1
            dice.shuffle(kept)
            del kept[len(kept) // 2 :]
    assert n_full > 0
    for filling, size, ref in kept:
        assert shoal.get(ref) == bytes([filling]) * size
    print(f"full {n_full} times")


def test_results_that_do_not_fit_are_errors_of_their_tasks(small_store: Census) -> None:
    for _ in range(3):
        with pytest.raises(shoal.ObjectStoreFullError):
            shoal.get(make.remote(2 * STORE_BYTES), timeout=LIMIT_S)
        with pytest.raises(shoal.ObjectStoreFullError):
            shoal.get(put_all.remote(100, 10 << 20), timeout=LIMIT_S)
        with pytest.raises(shoal.ObjectStoreFullError):
            shoal.put(bytes(2 * STORE_BYTES))
        with pytest.raises(shoal.ObjectStoreFullError):
            length.remote(bytes(2 * STORE_BYTES))
        assert await_room(lambda: shoal.get(length.remote(bytes(50 << 20)), timeout=LIMIT_S), 50 << 20)


def test_results_that_nobody_drops_fill_the_store_and_end_in_errors(small_store: Census) -> None:
    refs = [make.remote(10 << 20) for _ in range(60)]
    n_right = n_full = 0
    for ref in refs:
        try:
            n_right += len(shoal.get(ref, timeout=LIMIT_S)) == 10 << 20
        except shoal.ObjectStoreFullError:
            n_full += 1
    assert n_right + n_full == len(refs)
    assert n_right >= 10
    assert n_full > 0
    del refs, ref
    gc.collect()
    assert await_until(lambda: small_store.held()["live_bytes"] <= small_store.before["live_bytes"])
    assert await_room(lambda: len(shoal.get(make.remote(100 << 20), timeout=LIMIT_S)), 100 << 20)


def test_an_actor_that_fills_the_store_and_dies_gives_it_back(small_store: Census) -> None:
    @shoal.remote
    class Hoarder:
        def __init__(self) -> None:
            self.refs: list[shoal.ObjectRef[bytes]] = []

        def hoard(self) -> int:
            try:
                while True:
                    self.refs.append(shoal.put(bytes(5 << 20)))
            except shoal.ObjectStoreFullError:
                return len(self.refs)

    for _ in range(3):
        hoarder = Hoarder.remote()
        assert shoal.get(hoarder.hoard.remote(), timeout=LIMIT_S) > 10
        with pytest.raises(shoal.ObjectStoreFullError):
            shoal.put(bytes(64 << 20))
        shoal.kill(hoarder)
        assert await_until(lambda: small_store.held()["live_bytes"] <= small_store.before["live_bytes"])
        assert await_room(lambda: len(shoal.get(make.remote(100 << 20), timeout=LIMIT_S)), 100 << 20)


def test_every_boundary_of_sizes(census: Census) -> None:
    for size in BOUNDARIES:
        pattern = np.arange(size, dtype=np.uint32).astype(np.uint8)
        ref = shoal.put(pattern)
        got = shoal.get(ref)
        assert got.nbytes == size
        assert (got == pattern).all(), size
        text = pattern.tobytes()
        assert shoal.get(shoal.put(text)) == text, size
        assert shoal.get(length.remote(text)) == size
        assert len(shoal.get(make.remote(size))) == size
        del got, ref


def test_a_function_that_captures_100_mb() -> None:
    ballast = bytes(100 << 20)

    @shoal.remote
    def weigh() -> int:
        return len(ballast)

    with shoal.init(num_cpus=2):
        assert shoal.get([weigh.remote() for _ in range(10)], timeout=LIMIT_S) == [len(ballast)] * 10
        assert shoal.get(length.remote(b"abc"), timeout=LIMIT_S) == 3
