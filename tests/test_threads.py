# SPDX-License-Identifier: Apache-2.0
"""Several threads of one process use the same connection: submit, get, wait, put and await at once."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal

N_THREADS = 6


pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
def add(a: int, b: int = 1) -> int:
    return a + b


@shoal.remote(num_cpus=0)
def read(path: str) -> str:
    return Path(path).read_text()


def together(work: Callable[[int], Any]) -> list[Any]:
    """The results of `work(n)` on threads that all start at once."""
    barrier = threading.Barrier(N_THREADS)

    def run(n: int) -> Any:
        barrier.wait()
        return work(n)

    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(run, range(N_THREADS)))


def test_of_threads_that_call_init_one_makes_the_connection(script: Any) -> None:
    program = script(
        """
        import shoal, threading
        barrier, outcomes = threading.Barrier(6), []

        def connect():
            barrier.wait()
            try:
                outcomes.append(shoal.init(num_cpus=1).session)
            except shoal.AlreadyInitializedError:
                outcomes.append("late")

        threads = [threading.Thread(target=connect) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(outcomes.count("late"), shoal.init(ignore_reinit_error=True).session in outcomes)
        """
    )
    out, err = program.communicate(timeout=60)
    assert out == "5 True\n", err


def test_threads_wait_for_the_same_ref(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    ref = read.remote(str(tmp_path / "gate"))
    opener = threading.Timer(0.05, (tmp_path / "gate").write_text, ["opened"])
    opener.start()
    assert together(lambda n: shoal.get(ref, timeout=60)) == ["opened"] * N_THREADS
    opener.join()


def test_threads_wait_for_the_same_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    refs = [read.remote(str(tmp_path / "gate")), *(shoal.put("here") for _ in range(99))]
    opener = threading.Timer(0.05, (tmp_path / "gate").write_text, ["opened"])
    opener.start()
    found = together(lambda n: shoal.wait(refs, num_returns=100, timeout=60))
    assert found == [(refs, [])] * N_THREADS
    opener.join()
    with pytest.raises(ValueError, match="twice"):
        shoal.wait([*refs, refs[50]])


@shoal.remote
def after(_: str) -> str:
    return "after"


def test_a_list_may_change_while_a_thread_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = read.remote(str(tmp_path / "gate"))
    refs = [after.remote(gate) for _ in range(1000)]

    def change() -> None:
        refs.clear()
        (tmp_path / "gate").write_text("opened")

    changer = threading.Timer(0.05, change)
    changer.start()
    ready, rest = shoal.wait(refs, timeout=60)
    changer.join()
    if ready:  # else it was changed before we waited
        assert (len(ready), len({*ready, *rest})) == (1, 1000)
        assert shoal.get([*ready, *rest]) == ["after"] * 1000


def test_threads_wait_for_their_own_refs() -> None:
    def work(n: int) -> list[int]:
        left = [add.remote(100 * n + i) for i in range(100)]
        seen = []
        while left:
            ready, left = shoal.wait(left, timeout=60)
            seen += shoal.get(ready)
        return sorted(seen)

    assert together(work) == [[100 * n + i + 1 for i in range(100)] for n in range(N_THREADS)]


def test_threads_put_and_get() -> None:
    def work(n: int) -> bool:
        for i in range(50):
            array = np.full(20_000, n * 50 + i)
            if not (shoal.get(shoal.put(array)) == array).all():
                return False
        return True

    assert all(together(work))


def test_threads_make_and_call_actors() -> None:
    @shoal.remote
    class Counter:
        def __init__(self) -> None:
            self.value = 0

        def increment(self) -> int:
            self.value += 1
            return self.value

    def work(n: int) -> list[int]:
        counter = Counter.remote()
        return shoal.get([counter.increment.remote() for _ in range(100)])

    assert together(work) == [list(range(1, 101))] * N_THREADS


def test_ids_of_all_threads_differ() -> None:
    refs = together(lambda n: [add.remote(i) for i in range(200)])
    ids = {ref.binary() for of_thread in refs for ref in of_thread}
    assert len(ids) == 200 * N_THREADS
    shoal.get([ref for of_thread in refs for ref in of_thread])


def test_loops_of_several_threads_await() -> None:
    async def work(n: int) -> list[int]:
        return await asyncio.gather(*[add.remote(n + i) for i in range(50)])

    assert together(lambda n: asyncio.run(work(n))) == [[n + i + 1 for i in range(50)] for n in range(N_THREADS)]


def test_a_threads_loop_and_a_blocking_get_do_not_steal_each_others_news() -> None:
    def work(n: int) -> Any:
        if n % 2:
            return [shoal.get(add.remote(i)) for i in range(100)]

        async def main() -> list[int]:
            return [await add.remote(i) for i in range(100)]

        return asyncio.run(main())

    assert together(work) == [list(range(1, 101))] * N_THREADS


def test_threads_of_a_task_submit_and_wait() -> None:
    @shoal.remote
    def task() -> int:
        return sum(together(lambda n: sum(shoal.get([add.remote(i) for i in range(20)]))))

    assert shoal.get(task.remote(), timeout=60) == N_THREADS * sum(range(1, 21))
