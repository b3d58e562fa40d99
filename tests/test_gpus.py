# SPDX-License-Identifier: Apache-2.0
"""GPU isolation: calls see the accelerators they were granted and no others. No GPU is needed: only names are given."""

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.streams import meet

import shoal

N_GPUS = 3


@pytest.fixture(autouse=True)
def node(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    visible = getattr(request, "param", None)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    shoal.init(num_cpus=2, num_gpus=N_GPUS)
    yield
    shoal.shutdown()


@shoal.remote(num_cpus=0, num_gpus=1)
def seen() -> Any:
    threading.Event().wait(0.02)
    return os.environ["CUDA_VISIBLE_DEVICES"], shoal.get_gpu_ids()


def test_a_task_sees_as_many_gpus_as_it_asked_for() -> None:
    for count in (1, 2, 3):
        visible, ids = shoal.get(seen.options(num_gpus=count).remote(), timeout=60)
        assert len(set(ids)) == count
        assert visible == ",".join(map(str, ids))
        assert set(ids) <= set(range(N_GPUS))


def test_a_task_without_gpus_sees_none() -> None:
    assert shoal.get(seen.options(num_gpus=0).remote(), timeout=60) == ("", [])


def test_actors_keep_their_gpus_to_themselves() -> None:
    @shoal.remote(num_gpus=1)
    class Holder:
        def seen(self) -> Any:
            return os.environ["CUDA_VISIBLE_DEVICES"], shoal.get_gpu_ids()

    holders = [Holder.remote() for _ in range(N_GPUS)]
    seen_by_each = shoal.get([holder.seen.remote() for holder in holders], timeout=60)
    assert sorted(visible for visible, _ in seen_by_each) == ["0", "1", "2"]
    waiting = seen.remote()
    assert shoal.wait([waiting], timeout=0.1)[0] == []
    shoal.kill(holders.pop())
    assert len(shoal.get(waiting, timeout=60)[1]) == 1


def test_a_fraction_sees_the_gpu_it_shares() -> None:
    visible, ids = shoal.get(seen.options(num_gpus=0.5).remote(), timeout=60)
    assert visible == str(ids[0])
    assert len(ids) == 1


@pytest.mark.parametrize("node", ["7,5,GPU-abc"], indirect=True)
def test_the_drivers_own_restriction_is_kept() -> None:
    visible, _ = shoal.get(seen.options(num_gpus=3).remote(), timeout=60)
    assert visible == "7,5,GPU-abc"


kept: list[mmap.mmap] = []  # of a worker: what it would hold of CUDA


def use_cuda(driver: Path, until: str | None = None) -> int:
    """As far as anybody can see: the driver's library stays in this process, which is told. Then meets `until`."""
    with open(driver, "rb") as file:
        kept.append(mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ))
    if until is not None:
        meet(until, writing=False)
    return os.getpid()


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    library = tmp_path / "libcuda.so.1"
    library.write_bytes(b"\0")
    return library


def test_a_worker_that_used_a_gpu_ends_with_what_it_holds(driver: Path) -> None:
    use = shoal.remote(num_cpus=0, num_gpus=1)(use_cuda)
    pids = [shoal.get(use.remote(driver), timeout=60) for _ in range(3)]
    assert len(set(pids)) == 3


@pytest.mark.parametrize(("options", "n_workers"), [({}, 3), ({"max_calls": 0}, 1)])
def test_it_stays_if_max_calls_says_so(driver: Path, pipe: str, options: dict[str, int], n_workers: int) -> None:
    """Nothing says which idle worker gets the next GPU, but who has all of them keeps them while such calls wait."""
    use = shoal.remote(num_cpus=0, num_gpus=N_GPUS)(use_cuda).options(**options)
    refs = [use.remote(driver, pipe), use.remote(driver), use.remote(driver)]
    meet(pipe, writing=True)
    assert len(set(shoal.get(refs, timeout=60))) == n_workers


def test_a_gpu_is_not_given_to_a_worker_that_cannot_see_it(driver: Path) -> None:
    look = shoal.remote(num_cpus=0)(use_cuda)
    blind = {shoal.get(look.remote(driver), timeout=60)}
    use = look.options(num_gpus=1)
    refs = [use.remote(driver) for _ in range(4)]
    pids = shoal.get(refs, timeout=60)
    assert len(set(pids)) == 4
    assert not blind & set(pids)
