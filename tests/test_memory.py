# SPDX-License-Identifier: Apache-2.0
"""`memory=` end to end: demanded, enforced by kernel and daemon, told in typed errors; and a node that runs short.

No test takes much memory: limits are small, and shortage is made by a threshold that any node exceeds.
"""

import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tests.chaos.census import await_until, workers

import shoal

MIB = 1 << 20
TIMEOUT_S = 60.0
LONG_S = 30.0  # what holds too much holds it for as long, unless it is ended
NODE_MEMORY = 1 << 30
SETTLE_S = 30.0

kept: list[object] = []  # in a worker: what a task leaves behind


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[None]:
    shoal.init(num_cpus=getattr(request, "param", 2), memory=NODE_MEMORY, object_store_memory=512 * MIB)
    yield
    shoal.shutdown()


@pytest.fixture
def short_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A node that always finds itself short of memory, and retries twice for that reason."""
    monkeypatch.setenv("SHOAL_MEMORY_THRESHOLD", "0")
    monkeypatch.setenv("SHOAL_MEMORY_RETRIES", "2")
    monkeypatch.setenv("SHOAL_MEMORY_PAUSE", "0.05")
    shoal.init(num_cpus=2, object_store_memory=256 * MIB)
    yield
    shoal.shutdown()


def fill(n_bytes: int) -> bytearray:
    return bytearray(b"x") * n_bytes


def count(file: str) -> int:
    """One more line in the file -> how many there are."""
    with open(file, "a") as out:
        out.write(f"{os.getpid()}\n")
    return lines(file)


def lines(file: str) -> int:
    return len(Path(file).read_text().splitlines())


@shoal.remote(memory=100 * MIB)
def hold(n_bytes: int, file: str | None = None, for_s: float = 0.0) -> int:
    if file is not None:
        count(file)
    held = fill(n_bytes)
    threading.Event().wait(for_s)
    return len(held)


@shoal.remote
def work(n: int) -> int:
    return n * n


def await_all_free() -> None:
    """Leases come back when their worker looks for other work, or is swept."""
    deadline_s = time.monotonic() + SETTLE_S
    while not (are_free := shoal.available_resources() == shoal.cluster_resources()) and time.monotonic() < deadline_s:
        shoal.get([work.remote(n) for n in range(10)], timeout=TIMEOUT_S)
        threading.Event().wait(0.02)
    assert are_free


# -- demanded


def test_the_node_has_the_memory_that_it_is_given(node: None) -> None:
    assert shoal.cluster_resources()["memory"] == NODE_MEMORY
    assert shoal.available_resources()["memory"] == NODE_MEMORY
    actor = Holder.options(memory=256 * MIB).remote(1)
    assert shoal.get(actor.size.remote(), timeout=TIMEOUT_S) == 1
    assert shoal.available_resources()["memory"] == NODE_MEMORY - 256 * MIB
    shoal.kill(actor)
    await_all_free()


def test_memory_is_an_option_of_init_under_both_names() -> None:
    for option in ("memory", "_memory"):
        shoal.init(num_cpus=1, **{option: 77 * MIB})
        assert shoal.cluster_resources()["memory"] == 77 * MIB
        shoal.shutdown()
    with pytest.raises(ValueError, match="memory must be"):
        shoal.init(memory=0)


def test_calls_that_do_not_fit_together_run_one_after_another(node: None, tmp_path: Path) -> None:
    @shoal.remote(memory=600 * MIB)
    def alone(folder: str) -> int:
        mine = Path(folder) / "running"
        mine.touch(exist_ok=False)
        threading.Event().wait(0.05)
        mine.unlink()
        return 1

    assert shoal.get([alone.remote(str(tmp_path)) for _ in range(6)], timeout=TIMEOUT_S) == [1] * 6
    await_all_free()


def test_a_demand_beyond_the_node_is_told(node: None) -> None:
    with pytest.warns(shoal.InfeasibleResourcesWarning, match=r"memory: 2,048 MiB.*init\(memory="):
        hold.options(memory=2 << 30).remote(1)


# -- enforced


def test_who_holds_more_than_its_limit_is_ended_once(node: None, tmp_path: Path) -> None:
    file = str(tmp_path / "attempts")
    offender = hold.options(max_retries=5).remote(300 * MIB, file, LONG_S)
    neighbours = [hold.remote(10 * MIB, None, 0.2) for _ in range(4)]
    with pytest.raises(shoal.OutOfMemoryError, match=r"hold \(pid \d+\) was ended.*limit is 100 MiB") as caught:
        shoal.get(offender, timeout=LONG_S)
    error = caught.value
    assert isinstance(error, MemoryError)
    assert error.task_name == "hold"
    assert error.limit_bytes == 100 * MIB
    assert 100 * MIB < error.peak_bytes <= 300 * MIB + 16 * MIB
    assert error.pid == int(Path(file).read_text())
    assert "in use" in error.node_state
    assert f"hold (pid {error.pid})" in error.node_state
    assert lines(file) == 1
    assert shoal.get(neighbours, timeout=TIMEOUT_S) == [10 * MIB] * 4
    assert shoal.get([work.remote(n) for n in range(100)], timeout=TIMEOUT_S) == [n * n for n in range(100)]
    await_all_free()


def test_who_depends_on_an_ended_task_gets_its_error(node: None) -> None:
    with pytest.raises(shoal.OutOfMemoryError, match="hold"):
        shoal.get(work.remote(hold.remote(200 * MIB, None, LONG_S)), timeout=LONG_S)


@pytest.mark.parametrize("kind", ["bytearray", "numpy"])
def test_a_burst_is_refused_before_it_is_there(node: None, kind: str) -> None:
    @shoal.remote(memory=64 * MIB)
    def burst() -> int:
        return len(bytearray(1 << 30) if kind == "bytearray" else np.ones(1 << 30, np.uint8))

    with pytest.raises(shoal.OutOfMemoryError, match=r"burst asked for more memory.*of its 64 MiB") as caught:
        shoal.get(burst.remote(), timeout=TIMEOUT_S)
    error: Any = caught.value
    assert (error.task_name, error.limit_bytes) == ("burst", 64 * MIB)
    assert error.peak_bytes < 64 * MIB
    assert "in burst" in error.remote_traceback
    assert isinstance(error, shoal.TaskError)
    await_all_free()


def test_a_refused_allocation_may_be_caught(node: None) -> None:
    @shoal.remote(memory=64 * MIB)
    def adapt() -> int:
        n_bytes = 4 << 30
        while True:
            try:
                return len(bytearray(n_bytes))
            except MemoryError:
                n_bytes //= 128

    assert shoal.get(adapt.remote(), timeout=TIMEOUT_S) == 32 * MIB


def test_a_full_store_is_not_taken_for_a_limit(node: None) -> None:
    @shoal.remote(memory=64 * MIB)
    def overfill() -> None:
        shoal.store.empty(1 << 30, "u1")

    with pytest.raises(shoal.ObjectStoreFullError) as caught:
        shoal.get(overfill.remote(), timeout=TIMEOUT_S)
    assert not isinstance(caught.value, shoal.OutOfMemoryError)


def test_objects_do_not_count(node: None) -> None:
    @shoal.remote(memory=64 * MIB)
    def double(array: np.ndarray) -> Any:
        out = shoal.store.empty(array.shape, array.dtype)
        np.add(array, array, out=out)
        threading.Event().wait(0.2)
        return shoal.put(out)

    array = shoal.put(np.ones(128 * MIB, np.uint8))
    doubled = shoal.get(shoal.get(double.remote(array), timeout=TIMEOUT_S))
    assert doubled.shape == (128 * MIB,)
    assert int(doubled[::4096].sum()) == 2 * 32 * 1024
    del doubled


def test_address_space_that_is_not_touched_does_not_count(node: None) -> None:
    @shoal.remote(memory=64 * MIB)
    def reserve() -> int:
        with mmap.mmap(-1, 200 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as room:
            room[0] = 1
            threading.Event().wait(0.3)
            return len(room)

    assert shoal.get(reserve.remote(), timeout=TIMEOUT_S) == 200 * MIB


@pytest.mark.parametrize("node", [1], indirect=True)
def test_what_others_left_in_the_process_does_not_count(node: None) -> None:
    @shoal.remote
    def leave() -> int:
        kept.append(fill(200 * MIB))
        return os.getpid()

    @shoal.remote(memory=64 * MIB)
    def modest() -> tuple[int, int]:
        threading.Event().wait(0.3)
        return os.getpid(), len(fill(16 * MIB))

    pid = shoal.get(leave.remote(), timeout=TIMEOUT_S)
    assert shoal.get(modest.remote(), timeout=TIMEOUT_S) == (pid, 16 * MIB)


@pytest.mark.parametrize("node", [1], indirect=True)
def test_a_process_that_keeps_more_than_its_limit_is_replaced(node: None) -> None:
    @shoal.remote(memory=64 * MIB)
    def leak(n_bytes: int) -> int:
        kept.append(fill(n_bytes))
        return os.getpid()

    pids = [shoal.get(leak.remote(40 * MIB), timeout=TIMEOUT_S) for _ in range(6)]
    assert all(pids.count(pid) <= 2 for pid in pids)
    pids = [shoal.get(leak.remote(1), timeout=TIMEOUT_S) for _ in range(6)]
    assert len(set(pids)) <= 2


def test_the_limit_ends_with_the_call(node: None) -> None:
    @shoal.remote(max_retries=0)
    def unlimited() -> int:
        held = fill(200 * MIB)
        threading.Event().wait(0.2)
        return len(held)

    assert shoal.get([hold.remote(MIB) for _ in range(8)], timeout=TIMEOUT_S) == [MIB] * 8
    assert shoal.get(unlimited.remote(), timeout=TIMEOUT_S) == 200 * MIB


def test_children_of_a_task_are_bound_by_the_kernel_only(node: None) -> None:
    @shoal.remote(memory=64 * MIB)
    def run(n_bytes: int) -> int:
        program = f"import time; held = bytearray(b'x') * {n_bytes}; time.sleep(0.3)"
        return subprocess.run([sys.executable, "-c", program], check=False, stderr=subprocess.DEVNULL).returncode

    assert shoal.get(run.remote(100 * MIB), timeout=TIMEOUT_S) == 0  # not summed up, as the page on memory says
    assert shoal.get(run.remote(1 << 30), timeout=TIMEOUT_S) == 1


# -- actors


@shoal.remote(memory=100 * MIB)
class Holder:
    def __init__(self, n_bytes: int, for_s: float = 0.0) -> None:
        self.held = fill(n_bytes)
        threading.Event().wait(for_s)

    def size(self) -> int:
        return len(self.held)

    def grow(self, n_bytes: int) -> int:
        self.held += fill(n_bytes)
        threading.Event().wait(LONG_S)
        return len(self.held)

    def burst(self) -> int:
        return len(bytearray(1 << 30))


@shoal.remote(memory=100 * MIB)
class AsyncHolder:
    async def size(self) -> int:
        return 0

    async def grow(self, n_bytes: int) -> int:
        import asyncio

        held = fill(n_bytes)
        await asyncio.sleep(LONG_S)
        return len(held)


def expect_end(ref: Any) -> shoal.ActorOutOfMemoryError:
    with pytest.raises(shoal.ActorOutOfMemoryError, match="100 MiB") as caught:
        shoal.get(ref, timeout=LONG_S)
    assert isinstance(caught.value, shoal.ActorDiedError)
    assert isinstance(caught.value, shoal.OutOfMemoryError)
    assert caught.value.limit_bytes == 100 * MIB
    return caught.value


@pytest.mark.parametrize("kind", ["one at a time", "threads", "async"])
def test_an_actor_over_its_limit_dies_with_its_calls(node: None, kind: str) -> None:
    if kind == "async":
        actor: Any = AsyncHolder.remote()
    else:
        actor = Holder.options(max_concurrency=1 if kind == "one at a time" else 4).remote(0)
    assert shoal.get(actor.size.remote(), timeout=TIMEOUT_S) == 0
    growing, behind = actor.grow.remote(200 * MIB), actor.size.remote()
    error = expect_end(growing)
    assert 100 * MIB < error.peak_bytes <= 216 * MIB
    assert "Holder" in error.actor_name
    if kind == "one at a time":
        expect_end(behind)
    expect_end(actor.size.remote())
    await_all_free()


def test_what_an_actor_keeps_counts_over_its_calls(node: None) -> None:
    actor = Holder.remote(60 * MIB)
    assert shoal.get(actor.size.remote(), timeout=TIMEOUT_S) == 60 * MIB
    expect_end(actor.grow.remote(60 * MIB))


def test_a_constructor_is_bound_too(node: None) -> None:
    expect_end(Holder.remote(200 * MIB, LONG_S).size.remote())
    error = expect_end(Holder.remote(1 << 30).size.remote())
    assert isinstance(error.cause, shoal.OutOfMemoryError)
    await_all_free()


def test_an_actor_survives_a_refused_allocation(node: None) -> None:
    actor = Holder.remote(MIB)
    for _ in range(3):
        with pytest.raises(shoal.OutOfMemoryError, match=r"Holder.burst asked") as caught:
            shoal.get(actor.burst.remote(), timeout=TIMEOUT_S)
        assert not isinstance(caught.value, shoal.ActorDiedError)
    assert shoal.get(actor.size.remote(), timeout=TIMEOUT_S) == MIB


# -- a node that runs short


@shoal.remote
class Bystander:
    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n


@shoal.remote
class Big:
    def __init__(self) -> None:
        self.held = fill(64 * MIB)

    def wait(self) -> int:
        threading.Event().wait(LONG_S)
        return len(self.held)


def test_a_short_node_retries_a_task_with_pauses_and_gives_up(
    short_node: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    @shoal.remote(max_retries=1)
    def big(file: str) -> int:
        count(file)
        held = fill(64 * MIB)
        threading.Event().wait(LONG_S)
        return len(held)

    bystander = Bystander.remote()
    assert shoal.get(bystander.add.remote(), timeout=TIMEOUT_S) == 1
    file = str(tmp_path / "attempts")
    ref = big.remote(file)
    with pytest.raises(shoal.OutOfMemoryError, match=r"last of 3 attempts.*the node ran short of memory") as caught:
        shoal.get(ref, timeout=LONG_S)
    assert caught.value.task_name == "big"
    assert caught.value.limit_bytes is None
    assert lines(file) == 3
    assert shoal.get(bystander.add.remote(), timeout=TIMEOUT_S) == 2
    shoal.shutdown()
    said = capfd.readouterr().err
    assert "The node runs short of memory" in said
    assert "retry 1 of 2" in said
    assert "retry 2 of 2" in said
    assert "Ended big (pid" in said


def test_a_short_node_ends_what_cannot_be_run_again_if_it_must(short_node: None, tmp_path: Path) -> None:
    @shoal.remote(max_retries=0)
    def once(file: str) -> int:
        count(file)
        held = fill(64 * MIB)
        threading.Event().wait(LONG_S)
        return len(held)

    file = str(tmp_path / "attempts")
    with pytest.raises(shoal.OutOfMemoryError, match="ran short"):
        shoal.get(once.remote(file), timeout=LONG_S)
    assert lines(file) == 1
    with pytest.raises(shoal.ActorOutOfMemoryError, match="actor Big"):
        shoal.get(Big.remote().wait.remote(), timeout=LONG_S)


def test_a_node_that_watches_nothing_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MEMORY_THRESHOLD", "1")
    shoal.init(num_cpus=1)
    try:
        assert shoal.get(hold.options(memory=None).remote(MIB, None, 1.5), timeout=TIMEOUT_S) == MIB
    finally:
        shoal.shutdown()


def test_a_bad_threshold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_MEMORY_THRESHOLD", "95%")
    with pytest.raises(shoal.NodeStartError, match="SHOAL_MEMORY_THRESHOLD=95%"):
        shoal.init(num_cpus=1)


def test_the_kernel_would_take_workers_first(node: None) -> None:
    actor = Bystander.remote()
    assert shoal.get([actor.add.remote(), work.remote(3)], timeout=TIMEOUT_S) == [1, 9]
    assert await_until(lambda: len(workers()) == 3)  # one may be on its way yet, and has its name last

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    for process in psutil.Process().children(recursive=True):
        is_worker = process.name() not in ("shoal-daemon", "shoal-zygote")
        assert score(process.pid) == (1000 if is_worker else score(os.getpid())), process.name()
