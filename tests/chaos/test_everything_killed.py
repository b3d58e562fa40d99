# SPDX-License-Identifier: Apache-2.0
"""Every process of a node and its driver is killed at once, at any instant: the next start works and sweeps up."""

import gc
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import shoal

from .census import pause
from .limits import within
from .marks import Mark, Program
from .tally import Tally

GONE_S = 2.0
STARTED_S = 2.0
MEMFD = "/memfd:shoal"

LIFE = """
import os, signal, sys
import shoal
shoal.init(num_cpus=2, object_store_memory=256 << 20)

@shoal.remote
def work(n):
    return bytes(n)

@shoal.remote
def nest(n):
    return len(shoal.get([work.remote(i) for i in range(n)]))

@shoal.remote
class Actor:
    def call(self, n):
        if n % 10 == 3 and os.fork() == 0:
            os.setsid()
            signal.pause()
        return n

actors = [Actor.remote() for _ in range(2)]
while True:
    refs = [work.remote(n * 1_000) for n in range(100)] + [nest.remote(10) for _ in range(3)]
    refs += [actor.call.remote(n) for n in range(5) for actor in actors]
    shoal.put(bytes(2 << 20))
    shoal.get(refs)
    work.options(max_retries=0).remote(1)
"""


@shoal.remote
def double(n: int) -> int:
    return 2 * n


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    shoal.shutdown()


def test_the_next_start_works_and_the_machine_is_as_before(
    runtime: Path, seed: int, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    shared_memory = set(os.listdir("/dev/shm"))
    for number in range(pick(5, 500)):
        dice = random.Random(seed + number)
        mark = Mark()
        with Program(LIFE, mark, runtime) as driver:
            pause(dice.random() * 0.7)
            killed_s = time.monotonic()
            tally.count("processes killed", mark.kill_all(dice.shuffle))
            driver.process.wait()
            mark.await_none(within(5 * GONE_S))
            tally.took("until all were gone", time.monotonic() - killed_s, limit_s=GONE_S)
        tally.count("folders left", len(list(runtime.glob("shoal/*"))))
        next_mark = Mark()
        with tally.timing("next start, first result", limit_s=STARTED_S):
            shoal.init(num_cpus=1, object_store_memory=128 << 20)
            assert shoal.get(double.remote(number)) == 2 * number
        if dice.random() < 0.1:  # two at once: each sweeps, neither sweeps the other
            with Program(
                LIFE.replace("while True:", "print('up', flush=True)\nwhile True:"), next_mark, runtime
            ) as other:
                assert other.hear() == "up"
                assert len(list(runtime.glob("shoal/*"))) == 2
                next_mark.kill_all()
            next_mark.await_none(within(5 * GONE_S))  # a daemon that is still dying holds the lock on its folder
        shoal.shutdown()
        if list(runtime.iterdir()):  # of the second node, killed when ours was up: the next start's to sweep
            assert len(list(runtime.glob("shoal/*"))) <= 1  # none, if it was killed as it removed its own
            shoal.init(num_cpus=1, object_store_memory=128 << 20)
            shoal.shutdown()
        assert not list(runtime.rglob("*"))
        assert set(os.listdir("/dev/shm")) <= shared_memory
        tally.count("times everything killed")
    gc.collect()
    assert MEMFD not in Path("/proc/self/maps").read_text()
