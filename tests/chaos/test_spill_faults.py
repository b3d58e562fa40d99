# SPDX-License-Identifier: Apache-2.0
"""Kills, stops and a full file system while values go to disk and come back: every value right, nothing left."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import shoal
from shoal import runtime

from .census import Census, await_until, pause, workers

MIB = 1 << 20
STORE_BYTES = 128 * MIB
SIZE = MIB // 2  # numbers: 4 MiB
LIMIT_S = 60.0


@pytest.fixture
def small_store() -> Iterator[Census]:
    shoal.init(num_cpus=2, object_store_memory=STORE_BYTES)
    try:
        census = Census()
        yield census
        census.assert_as_before()
        assert await_until(lambda: runtime.connected().calls.counters()["spill_disk_bytes"] == 0)
    finally:
        shoal.shutdown()


@shoal.remote(max_retries=20)
def make(n: int) -> Any:
    return np.full(SIZE, n)


@shoal.remote(max_retries=20)
def add(a: Any, b: Any) -> Any:
    return a + b


def test_workers_die_while_a_tree_of_sums_is_spilled(
    small_store: Census, dice: random.Random, pick: Callable[[int, int], int]
) -> None:
    for _ in range(pick(2, 40)):
        layer = [make.remote(n) for n in range(64)]
        while len(layer) > 1:
            layer = [add.remote(layer[n], layer[n + 1]) for n in range(0, len(layer), 2)]
            for _ in range(2):
                pause(dice.random() * 0.05)
                with suppress(psutil.Error, IndexError):
                    dice.choice(workers()).kill()
        total = shoal.get(layer[0], timeout=LIMIT_S)
        assert total[0] == total[-1] == sum(range(64))
        assert (total == sum(range(64))).all()
        del layer, total


def test_a_stopped_reader_delays_nobody(small_store: Census, dice: random.Random) -> None:
    refs = [shoal.put(np.full(SIZE, n)) for n in range(80)]
    for _ in range(3):
        sums = [add.remote(refs[n], refs[-1 - n]) for n in range(40)]
        pause(dice.random() * 0.05)
        victim = dice.choice(workers())
        with suppress(psutil.Error):
            victim.suspend()
        try:
            _, late = shoal.wait(sums, num_returns=len(sums) - 1, timeout=LIMIT_S)
            assert len(late) <= 1
        finally:
            with suppress(psutil.Error):
                victim.resume()
        for n, total in enumerate(sums):
            assert int(shoal.get(total, timeout=LIMIT_S)[dice.randrange(SIZE)]) == n + 79 - n
        del sums, total, late


def test_a_driver_that_dies_gives_disk_and_memory_back(small_store: Census) -> None:
    program = f"""
import numpy, os, shoal
shoal.init(address={runtime.connected().config.runtime_dir!r})
kept = [shoal.put(numpy.full({SIZE}, n)) for n in range(60)]
print("ready", flush=True)
os.read(0, 1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"ready\n"
        assert runtime.connected().calls.counters()["spilled_bytes"] > 0
        driver.send_signal(signal.SIGKILL)
    assert await_until(lambda: small_store.held()["live_bytes"] <= small_store.before["live_bytes"])


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a file system takes root")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_full_file_system_loses_nothing_and_work_goes_on(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "5")  # as long as the daemon may take to write what makes room
    with shoal.init(num_cpus=1, object_store_memory=STORE_BYTES, object_spilling_directory=str(tiny_disk)):
        refs: list[Any] = []

        def fill() -> None:
            for n in range(100):
                refs.append(shoal.put(np.full(SIZE, n)))

        with pytest.raises(shoal.OutOfDiskError, match=str(tiny_disk)):
            fill()
        assert len(refs) >= 32
        assert [int(shoal.get(ref, timeout=LIMIT_S)[7]) for ref in refs] == list(range(len(refs)))
        foreign = tiny_disk / "foreign"  # somebody else fills what is left, and goes away again
        with suppress(OSError):
            foreign.write_bytes(bytes(128 * MIB))
        with pytest.raises(shoal.OutOfDiskError):
            fill()
        foreign.unlink()
        del refs[:36]
        refs += [shoal.put(np.full(SIZE, 7)) for _ in range(8)]
        assert int(shoal.get(refs[-1], timeout=LIMIT_S)[0]) == 7
