# SPDX-License-Identifier: Apache-2.0
"""More values than the store holds: they go to disk and come back right, and what is in use stays where it is."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import shoal
from shoal import runtime

MIB = 1 << 20
STORE_BYTES = 128 * MIB
LIMIT_S = 60.0
HELD = ("live_entries", "live_slots", "live_waiters", "live_bytes", "spilled_objects", "spill_disk_bytes")

pause = threading.Event().wait


def counters() -> dict[str, float]:
    return runtime.connected().calls.counters()


def held() -> dict[str, float]:
    """What the node holds, beside the one object that this look makes and has not let go of yet."""
    shoal.get(shoal.put(None))  # hands on what this client dropped before
    now = counters()
    return {name: now[name] - (name == "live_entries") for name in HELD}


def assert_everything_is_given_back() -> None:
    gc.collect()
    for _ in range(200):
        if not any(held().values()):
            return
        pause(0.05)
    assert not any(held().values()), held()


@pytest.fixture
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, object_store_memory=STORE_BYTES)
    try:
        yield
        assert_everything_is_given_back()
        assert counters()["quarantined"] == 0
    finally:
        shoal.shutdown()


@shoal.remote
def make(n: int, size: int) -> np.ndarray[Any, Any]:
    return np.full(size, n)


@shoal.remote
def total(*arrays: np.ndarray[Any, Any]) -> int:
    return sum(int(array.sum()) for array in arrays)


def test_five_times_the_store_of_live_arrays(node: None) -> None:
    size = MIB  # numbers, 8 MiB
    refs = [shoal.put(np.full(size, n)) for n in range(80)]
    assert counters()["spilled_bytes"] >= 80 * 8 * MIB - STORE_BYTES * 1.5
    for n, ref in enumerate(refs):
        array = shoal.get(ref, timeout=LIMIT_S)
        assert array[0] == array[-1] == n
        assert array.sum() == n * size
        del array
    assert shoal.get([total.remote(ref) for ref in refs], timeout=LIMIT_S) == [n * size for n in range(80)]


def test_small_values_of_all_sizes(node: None) -> None:
    dice = random.Random(5)
    values = [os.urandom(8) * dice.choice([9, 100, 500, 4000]) for _ in range(25_000)]
    assert sum(map(len, values)) > 1.5 * STORE_BYTES
    refs = [shoal.put(value) for value in values]
    assert counters()["spilled_objects"] > 1000
    for n in dice.sample(range(len(refs)), 500):
        assert shoal.get(refs[n], timeout=LIMIT_S) == values[n]
    assert shoal.get(refs[-5000:], timeout=LIMIT_S) == values[-5000:]
    del refs


def test_results_and_arguments_of_tasks(node: None) -> None:
    size = MIB // 2
    made = [make.remote(n, size) for n in range(60)]
    sums = [total.remote(made[n], made[(n * 7) % 60], made[(n * 11) % 60]) for n in range(60)]
    assert shoal.get(sums, timeout=LIMIT_S) == [size * (n + n * 7 % 60 + n * 11 % 60) for n in range(60)]
    assert counters()["spilled_objects"] > 0
    ready, rest = shoal.wait(made, num_returns=60, timeout=LIMIT_S)
    assert (len(ready), len(rest)) == (60, 0)


def test_views_stay_where_they_are(node: None) -> None:
    kept = [shoal.get(shoal.put(np.full(MIB, n))) for n in range(6)]
    more = [shoal.put(np.full(MIB, 100 + n)) for n in range(60)]
    for n, array in enumerate(kept):
        assert (array == n).all()
    assert shoal.get(more[0])[7] == 100
    del kept, more


def test_an_array_that_was_built_in_the_store_stays_with_its_creator(node: None) -> None:
    for size in (1000, MIB):  # below and above the size that is protected against writing
        array = shoal.store.empty(size, np.int64)
        array[:] = 5
        ref = shoal.put(array)
        more = [shoal.put(np.full(MIB, n)) for n in range(40)]
        assert (array == 5).all()
        assert (shoal.get(ref) == 5).all()
        del more, array, ref


def test_values_that_hold_references(node: None) -> None:
    def tree(depth: int) -> Any:
        leaves = [tree(depth - 1) for _ in range(3)] if depth else []
        return shoal.put({"leaves": leaves, "pad": np.full(MIB // 2, depth)})

    def check(ref: Any, depth: int) -> int:
        value = shoal.get(ref, timeout=LIMIT_S)
        assert (value["pad"] == depth).all()
        return 1 + sum(check(leaf, depth - 1) for leaf in value["leaves"])

    root = tree(3)  # 40 values of 4 MiB
    assert counters()["spilled_objects"] > 0
    assert check(root, 3) == 40
    del root


def test_one_value_that_takes_most_of_the_store(node: None) -> None:
    small = [shoal.put(bytes([n]) * 20_000) for n in range(200)]
    large = [shoal.put(np.full(11 * MIB, n)) for n in range(4)]  # 88 MiB each: one at a time
    for n in (2, 0, 3, 1):
        assert (shoal.get(large[n], timeout=LIMIT_S)[::MIB] == n).all()
    assert [shoal.get(ref)[0] for ref in small] == list(range(200))
    del small, large


def test_errors_are_spilled_too(node: None) -> None:
    @shoal.remote(max_retries=0)
    def fail(n: int) -> None:
        raise ValueError(f"{n}:" + "x" * 500_000)

    refs = [fail.remote(n) for n in range(300)]
    shoal.wait(refs, num_returns=len(refs), timeout=LIMIT_S)
    for n in (0, 150, 299):
        with pytest.raises(ValueError, match=f": {n}:x"):
            shoal.get(refs[n], timeout=LIMIT_S)
    del refs


def test_several_processes_read_at_once(node: None) -> None:
    @shoal.remote
    class Reader:
        def sums(self, refs: list[Any], seed: int) -> list[int]:
            order = random.Random(seed).sample(range(len(refs)), len(refs))
            found = {n: int(shoal.get(refs[n]).sum()) for n in order}
            return [found[n] for n in range(len(refs))]

    size = MIB // 4
    refs = [shoal.put(np.full(size, n)) for n in range(150)]
    readers = [Reader.remote() for _ in range(3)]
    answers = shoal.get([reader.sums.remote(refs, seed) for seed, reader in enumerate(readers)], timeout=LIMIT_S)
    assert answers == [[n * size for n in range(150)]] * 3
    del refs, readers


async def _await_all(refs: list[Any]) -> list[int]:
    return [int((await ref)[0]) for ref in refs]


def test_awaits(node: None) -> None:
    import asyncio

    refs = [make.remote(n, MIB // 2) for n in range(60)]
    assert asyncio.run(_await_all(refs)) == list(range(60))
    del refs


def test_a_killed_worker_leaves_nothing_pinned(node: None) -> None:
    @shoal.remote(max_retries=0)
    def hold_and_die(array: np.ndarray[Any, Any]) -> None:
        os.kill(os.getpid(), 9)

    refs = [shoal.put(np.full(MIB, n)) for n in range(30)]
    for ref in refs[:5]:
        with pytest.raises(shoal.WorkerCrashedError):
            shoal.get(hold_and_die.remote(ref), timeout=LIMIT_S)
    assert [int(shoal.get(ref, timeout=LIMIT_S)[3]) for ref in refs] == list(range(30))
    del refs, ref


# -- when it cannot


def test_without_spilling_a_full_store_is_a_typed_error_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "0.1")
    kept: list[Any] = []

    def fill() -> None:
        for _ in range(100):
            kept.append(shoal.put(np.zeros(MIB)))  # noqa: PERF401  # keeps what came before the error

    with shoal.init(num_cpus=1, object_store_memory=STORE_BYTES, object_spilling_limit=0):
        with pytest.raises(shoal.ObjectStoreFullError, match="spilling is off") as caught:
            fill()
        assert isinstance(caught.value, MemoryError)
        assert not isinstance(caught.value, shoal.OutOfDiskError)
        assert kept
        kept.clear()
        assert shoal.get(shoal.put(np.ones(MIB, dtype="u1"))).all()


def test_a_put_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with shoal.init(num_cpus=1, object_store_memory=STORE_BYTES, object_spilling_limit=0):
        kept = [shoal.put(np.full(3 * MIB, n)) for n in range(4)]  # an arena each: the store is full
        timer = threading.Timer(0.3, kept.clear)
        timer.start()
        assert (shoal.get(shoal.put(np.full(3 * MIB, 9))) == 9).all()
        timer.join()


def test_a_value_that_can_never_fit_fails_at_once(node: None) -> None:
    with pytest.raises(shoal.ObjectStoreFullError, match=r"The store has 128\.0 MiB, the value 160\.0 MiB"):
        shoal.put(np.zeros(20 * MIB))


def test_what_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "2")
    with shoal.init(num_cpus=1, object_store_memory=STORE_BYTES):
        views = []

        def fill() -> None:
            for n in range(10):
                views.append(shoal.get(shoal.put(np.full(4 * MIB, n))))  # noqa: PERF401  # likewise

        with pytest.raises(shoal.ObjectStoreFullError, match="is in use: by views of arrays"):
            fill()
        assert [int(view[0]) for view in views] == list(range(len(views)))
        del views[:]
        gc.collect()
        assert (shoal.get(shoal.put(np.full(4 * MIB, 1))) == 1).all()


def test_the_limit_on_disk_is_kept_and_work_goes_on_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "5")  # as long as the daemon may take to write what makes room
    limit = 200 * MIB
    with shoal.init(num_cpus=1, object_store_memory=STORE_BYTES, object_spilling_limit=limit):
        refs: list[Any] = []

        def fill() -> None:
            for n in range(200):
                refs.append(shoal.put(np.full(MIB, n)))  # likewise

        with pytest.raises(shoal.OutOfDiskError, match="may be spilled"):
            fill()
        assert counters()["spill_disk_bytes"] <= limit
        assert 25 <= len(refs) < 60
        assert [int(shoal.get(ref, timeout=LIMIT_S)[0]) for ref in refs] == list(range(len(refs)))
        del refs[: len(refs) // 2]
        refs += [shoal.put(np.full(MIB, n)) for n in range(10)]
        assert [int(shoal.get(ref, timeout=LIMIT_S)[0]) for ref in refs[-10:]] == list(range(10))
        refs.clear()
        assert_everything_is_given_back()


def test_bad_settings_are_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="object_spilling_directory"):
        shoal.init(object_spilling_directory=str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="object_spilling_limit"):
        shoal.init(object_spilling_limit=-1)
    assert not shoal.is_initialized()


def test_nothing_has_a_name_on_disk(tmp_path: Any) -> None:
    with shoal.init(num_cpus=1, object_store_memory=STORE_BYTES, object_spilling_directory=tmp_path):
        refs = [shoal.put(np.full(MIB, n)) for n in range(40)]
        assert counters()["spill_disk_bytes"] > 0
        assert os.listdir(tmp_path) == []
        daemon = runtime.connected().config.daemon_pid
        links = []
        for fd in os.listdir(f"/proc/{daemon}/fd"):
            with suppress(FileNotFoundError):  # closed meanwhile
                links.append(os.readlink(f"/proc/{daemon}/fd/{fd}"))
        assert any(link.startswith(str(tmp_path)) and link.endswith("(deleted)") for link in links)
        del refs
