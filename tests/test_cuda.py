# SPDX-License-Identifier: Apache-2.0
"""Isolation and release of real GPUs, as CUDA reports them. Runs where torch finds a device."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shoal

torch = pytest.importorskip("torch", reason="needs torch and a CUDA device")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

HELD_BYTES = 1 << 30


@pytest.fixture(autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=4)
    yield
    shoal.shutdown()


@shoal.remote(num_gpus=1)
def product(a: Any, b: Any) -> tuple[Any, int, int]:
    import torch

    on_device = torch.from_numpy(np.array(a)).cuda() @ torch.from_numpy(np.array(b)).cuda()
    return on_device.cpu().numpy(), torch.cuda.device_count(), os.getpid()


@shoal.remote
def sees_cuda() -> tuple[bool, int]:
    import torch

    return torch.cuda.is_available(), os.getpid()


@shoal.remote(num_gpus=1)
class Holder:
    def hold(self, n_bytes: int) -> int:
        import torch

        self.held = torch.zeros(n_bytes, dtype=torch.uint8, device="cuda")
        return int(self.held.sum().item())


def free_bytes() -> int:
    return int(shoal.get(look_at_memory.remote(), timeout=120))


@shoal.remote(num_gpus=1)
def look_at_memory() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0])


def test_the_node_offers_what_the_machine_has() -> None:
    assert shoal.cluster_resources()["GPU"] == torch.cuda.device_count()


def test_a_task_computes_on_its_gpu_and_others_see_none() -> None:
    generator = np.random.default_rng(7)
    a, b = (generator.integers(0, 9, (64, 64)).astype(np.float64) for _ in range(2))
    result, n_devices, pid = shoal.get(product.remote(a, b), timeout=120)
    np.testing.assert_array_equal(result, a @ b)
    assert n_devices == 1
    seen, other = shoal.get(sees_cuda.remote(), timeout=120)
    assert not seen
    assert other != pid


def test_a_worker_that_found_no_device_is_not_given_one() -> None:
    blind = {shoal.get(sees_cuda.remote(), timeout=120)[1] for _ in range(3)}
    ones = np.ones((8, 8))
    for _ in range(2):
        result, _, pid = shoal.get(product.remote(ones, ones), timeout=120)
        assert result.sum() == 8 * 64
        assert pid not in blind


def test_two_halves_share_a_gpu() -> None:
    holders = [Holder.options(num_gpus=0.5).remote() for _ in range(2 * torch.cuda.device_count())]
    assert shoal.get([holder.hold.remote(1 << 20) for holder in holders], timeout=120) == [0] * len(holders)


def test_a_killed_actor_gives_the_device_its_memory_back() -> None:
    before = free_bytes()
    holder = Holder.remote()
    assert shoal.get(holder.hold.remote(HELD_BYTES), timeout=120) == 0
    waiting = look_at_memory.remote()  # for the one that is held
    if torch.cuda.device_count() == 1:
        assert shoal.wait([waiting], timeout=0.2)[0] == []
    shoal.kill(holder)
    assert shoal.get(waiting, timeout=120) > before - HELD_BYTES // 2
