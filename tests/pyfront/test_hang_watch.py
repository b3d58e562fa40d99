# SPDX-License-Identifier: Apache-2.0
"""When nothing moves: what counts as movement, and how often it is told."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.config import hang_after_s
from shoal.hang_watch import HangWatch, Sight, cpu_s, has_moved

S = 10**9
CALLS = {1: (5, 0, 0), 2: (0, 4, 77)}


def sight(at_s: float, cpu: float = 1.0, calls: dict[int, tuple[int, int, int]] = CALLS) -> Sight:
    return Sight(int(at_s * S), calls, {10: cpu, 11: 0.5})


def test_what_moves() -> None:
    still = sight(0)
    assert not has_moved(still, sight(10))
    assert not has_moved(still, sight(10, cpu=1.1))  # it polls
    assert has_moved(still, sight(10, cpu=3.0))  # it computes
    assert has_moved(still, sight(10, calls={1: (6, 0, 0), 2: (0, 4, 77)}))  # submitted
    assert has_moved(still, sight(10, calls={1: (5, 0, 0), 2: (0, 5, 77)}))  # ended
    assert has_moved(still, sight(10, calls={1: (5, 0, 0), 2: (0, 4, 78)}))  # begun
    assert has_moved(still, Sight(10 * S, CALLS, {10: 1.0}))  # a process has gone


def test_it_is_told_once_and_again_after_movement() -> None:
    watch = HangWatch(60)
    told = [watch.take(sight(at_s), waits_since_ns=0) for at_s in (1, 2, 4, 8, 16, 32, 62, 92)]
    assert told == [None, None, None, None, None, None, 61.0, None]
    assert watch.take(sight(122, cpu=20.0), waits_since_ns=0) is None
    assert watch.take(sight(152, cpu=20.0), waits_since_ns=0) is None
    assert watch.take(sight(200, cpu=20.0), waits_since_ns=0) == 78.0


def test_time_before_the_wait_does_not_count() -> None:
    watch = HangWatch(60)
    assert watch.take(sight(1), waits_since_ns=0) is None
    assert watch.take(sight(601), waits_since_ns=600 * S) is None  # the driver was busy with its own code
    assert watch.take(sight(661), waits_since_ns=600 * S) == 61.0


def test_settings() -> None:
    assert hang_after_s({}) == 60
    assert hang_after_s({"SHOAL_HANG_AFTER_S": "0"}) == 0
    with pytest.raises(ValueError, match="SHOAL_HANG_AFTER_S=soon"):
        hang_after_s({"SHOAL_HANG_AFTER_S": "soon"})


def test_a_process_that_is_gone_has_used_nothing() -> None:
    assert cpu_s(os.getpid()) > 0
    assert cpu_s(2**22 + 1) == 0


HANGS = """
import asyncio, sys, threading, shoal

shoal.init(num_cpus=1)

@shoal.remote
def forgotten(path):
    open(path, "w").close()
    threading.Event().wait()

ref = forgotten.remote(sys.argv[1])
open(sys.argv[1]).close()  # it runs: whatever was to move has moved

def by_get():
    shoal.get(ref, timeout=10)

def by_await():
    async def main():
        await asyncio.wait_for(ref, 10)
    asyncio.run(main())

def by_several_loops():
    async def main():
        await asyncio.wait([asyncio.ensure_future(first(ref))], timeout=0.1)
    async def first(ref):
        return await ref
    asyncio.run(main())  # its loop goes while its first look is due
    by_await()

def by_future():
    ref.future().result(timeout=10)

try:
    {how}()
except TimeoutError:
    print("gave up")
except Exception as error:  # of asyncio and concurrent.futures before Python 3.11
    print("gave up" if type(error).__name__ == "TimeoutError" else error)
"""


def test_a_driver_that_waits_while_nothing_moves_is_told_why_once(
    script: "Callable[..., subprocess.Popen[str]]", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOAL_HANG_AFTER_S", "2")
    drivers = {}  # which wait beside each other
    for how in ("by_get", "by_await", "by_several_loops", "by_future"):
        os.mkfifo(tmp_path / how)
        drivers[how] = script(HANGS.replace("{how}", how), str(tmp_path / how))
    for how, driver in drivers.items():
        output, errors = driver.communicate(timeout=100)
        assert output == "gave up\n", (how, errors)
        assert errors.count("shoal: nothing has moved for ") == 1, (how, errors)
        assert "waits in get" in errors
        assert "runs forgotten, for " in errors
