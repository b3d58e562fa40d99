# SPDX-License-Identifier: Apache-2.0
"""GPU isolation: calls see the accelerators they were granted and no others. No GPU is needed: only names are given."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

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
