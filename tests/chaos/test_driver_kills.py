# SPDX-License-Identifier: Apache-2.0
"""Drivers are killed with 100,000 tasks pending: the node is as before at once, and so is the daemon's memory."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

import shoal
from shoal import runtime

from .census import Census, await_until, node_processes, pause, private_bytes
from .limits import within
from .marks import Mark, Program
from .tally import Tally

CLEARED_S = 2.0
N_PENDING = 100_000
SPARE_MEMORY = 8 << 20  # bytes: pages that the daemon's allocator keeps

LOAD = """
import signal, sys
import shoal
shoal.init(**({"address": sys.argv[1]} if sys.argv[1] else {"num_cpus": 2}))

@shoal.remote
def work(n, *rest):
    return bytes(n % 500)

@shoal.remote(num_cpus=0)
def nest(n):
    return shoal.get([work.remote(i) for i in range(n)])

@shoal.remote
class Actor:
    def __init__(self):
        self.kept = []
    def call(self, n, *rest):
        self.kept.append(rest)
        return n

big = shoal.put(bytes(20 << 20))
actors = [Actor.remote() for _ in range(2)]
never = work.options(resources={"unobtainium": 1}).remote(1)
refs = [work.remote(n, big) for n in range(int(sys.argv[2]) // 2)]
refs += [work.remote(n, never) for n in range(int(sys.argv[2]) // 2)]
refs += [actor.call.remote(n, [big]) for n in range(100) for actor in actors]
refs += [nest.remote(20) for _ in range(3)]
print("pending", flush=True)
"""
WAYS = (
    "signal.pause()",
    "shoal.get(refs)",
    "shoal.wait(refs, num_returns=len(refs))",
    "while True: refs.append(work.remote(1))",
    "while True: shoal.get(shoal.put(bytes(1 << 20)))",
)


@shoal.remote
def double(n: int) -> int:
    return 2 * n


def test_what_a_guest_leaves_pending_is_cleared(
    census: Census, dice: random.Random, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    address = runtime.connected().config.runtime_dir
    daemon = node_processes()["shoal-daemon"][0]
    first_memory = 0
    for n in range(pick(4, 50)):
        before, cpus = census.held(), shoal.cluster_resources()["CPU"]  # nobody else has any
        others = {process.pid for process in psutil.Process().children(recursive=True)}
        with Program("import warnings; warnings.simplefilter('ignore')" + LOAD + dice.choice(WAYS), Mark(),
                     arguments=(address, str(pick(20_000, N_PENDING)))) as guest:  # fmt: skip
            assert guest.hear() == "pending"
            others.add(guest.process.pid)
            pause(dice.random() * 0.02)
            killed_s = time.monotonic()
            guest.process.kill()

            def is_cleared(before: dict[str, float] = before, cpus: float = cpus, others: set[int] = others) -> bool:
                held = census.held()
                return (
                    all(held[name] <= before[name] for name in held)
                    and shoal.available_resources()["CPU"] == cpus
                    and all(process.pid in others for group in node_processes().values() for process in group)
                )

            assert await_until(is_cleared, within(5 * CLEARED_S)), (before, census.held())
        tally.count("guests killed")
        tally.took("until all was cleared", time.monotonic() - killed_s, limit_s=CLEARED_S)
        assert shoal.get([double.remote(i) for i in range(50)], timeout=within(CLEARED_S)) == list(range(0, 100, 2))
        if n == 2:
            first_memory = private_bytes(daemon)
    assert private_bytes(daemon) <= first_memory + SPARE_MEMORY


def test_what_a_starter_leaves_pending_is_cleared(
    dice: random.Random, tally: Tally, pick: Callable[[int, int], int], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    shared_memory = set(os.listdir("/dev/shm"))
    for _ in range(pick(3, 50)):
        mark = Mark()
        with Program("import warnings; warnings.simplefilter('ignore')" + LOAD + dice.choice(WAYS), mark, tmp_path,
                     arguments=("", str(pick(20_000, N_PENDING)))) as starter:  # fmt: skip
            assert starter.hear() == "pending"
            pause(dice.random() * 0.02)
            killed_s = time.monotonic()
            os.kill(starter.process.pid, signal.SIGKILL)
            starter.process.wait()
            mark.await_none(within(5 * CLEARED_S))
        tally.count("starters killed")
        tally.took("until all was cleared", time.monotonic() - killed_s, limit_s=CLEARED_S)
        assert not list(tmp_path.iterdir())
        assert set(os.listdir("/dev/shm")) <= shared_memory
