# SPDX-License-Identifier: Apache-2.0
"""The wall clock jumps by hours and years, backwards too, and stands still: no deadline, timer or wait notices.

The jumps are seen by the processes of the test alone (wall_clock.c, preloaded); the machine's clock is not touched.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .limits import within
from .marks import Mark

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src"
LIMIT_S = 120.0

PROGRAM = """
import mmap, os, random, signal, struct, sys, threading, time

import shoal
from shoal.node.staffing import SPARE_EXIT_S

seed, n_rounds = int(sys.argv[1]), int(sys.argv[2])
dice = random.Random(seed)
def pause(seconds):
    threading.Event().wait(seconds)

with open(os.environ["SHOAL_TEST_CLOCK"], "r+b") as file:
    dial = mmap.mmap(file.fileno(), 16)
HOUR, YEAR = 3600, 366 * 86400
LATE = 60  # seconds: who waits by the wall clock is late by an hour
real = time.time()
dial[:] = struct.pack("qq", YEAR, 0)
assert time.time() - real > YEAR - 10, "the preloaded clock is not in use"
is_over = threading.Event()
n_jumps = 0

def jump():
    global n_jumps
    while not is_over.wait(dice.random() * 0.02):
        stopped = int(real) if dice.random() < 0.3 else 0
        dial[:] = struct.pack("qq", dice.choice([0, HOUR, -HOUR, YEAR, -YEAR]), stopped)
        n_jumps += 1

threading.Thread(target=jump, daemon=True).start()
began = time.monotonic()
shoal.init(num_cpus=2)

@shoal.remote
def work(n):
    pause(0.005)
    return os.getpid(), time.time()

@shoal.remote
def nest(n):
    return len(shoal.get([work.remote(i) for i in range(n)], timeout=20))

@shoal.remote(num_cpus=0)
def later(delay_s):
    pause(delay_s)
    return "now"

@shoal.remote(num_cpus=0)
def never():
    signal.pause()

@shoal.remote
class Waiter:
    async def wait(self, delay_s):
        import asyncio
        await asyncio.sleep(delay_s)
        return "now"

def took(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started

def runs_out(ref):
    try:
        shoal.get(ref, timeout=0.2)
    except shoal.GetTimeoutError:
        return
    raise AssertionError("a value")

waiter = Waiter.remote()
lost = never.remote()
pids, seen = set(), []
for _ in range(n_rounds):
    for pid, wall in shoal.get([work.remote(n) for n in range(20)], timeout=20):
        pids.add(pid)
        seen.append(wall)
    assert shoal.get(nest.remote(5), timeout=20) == 5
    assert shoal.get([later.remote(0.1), waiter.wait.remote(0.1)], timeout=20) == ["now", "now"]
    for call in (lambda: runs_out(lost), lambda: shoal.wait([lost], timeout=0.2)):
        assert 0.2 <= took(call) < LATE
counters = shoal.runtime.connected().calls.counters()
is_short = time.monotonic() - began < SPARE_EXIT_S  # later those may leave that were made for nested calls
assert counters["sweeps"] == 0 or not is_short, "a process left early, or was taken for dead"
assert max(seen) - min(seen) > YEAR, "the workers saw no jump"
assert took(shoal.shutdown) < LATE
is_over.set()
print("jumps", n_jumps)
"""


def test_no_wait_notices_that_the_wall_clock_jumps(seed: int, pick: Callable[[int, int], int], tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    library = tmp_path / "wall_clock.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, HERE / "wall_clock.c"], check=True)
    dial = tmp_path / "dial"
    dial.write_bytes(bytes(16))
    tmp_path.chmod(0o700)
    environment = {**Mark().environment(tmp_path), "LD_PRELOAD": str(library), "SHOAL_TEST_CLOCK": str(dial)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), str(pick(3, 100))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=within(LIMIT_S),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 10


SHOWN = {
    "pyfront/cli/dump.py",
    "pyfront/cli/status.py",
    "pyfront/node/jobs.py",
    "pyfront/node/parts.py",
    "pyfront/node/placement_groups.py",
    "pyfront/util/state/api.py",
    "pyfront/util/state/report.py",
    "pyfront/util/state/timeline.py",
}
"""Where people are told since when something is there: nothing is decided by it."""


def test_no_source_asks_for_the_wall_clock() -> None:
    """What is not read cannot jump. Names of files and lines of logs have no times in them either."""
    asking = re.compile(
        r"\btime\.time(_ns)?\(|\bdatetime\b|\blocaltime\b|\bgmtime\b|\bgettimeofday\b|CLOCK_REALTIME|\btime\(NULL\)"
        r"|\btimespec_get\b|\bsem_timedwait\b|\bpthread_cond_timedwait\b|\bpthread_mutex_timedlock\b|FUTEX_CLOCK_REALTIME"
    )
    found = [
        f"{path.relative_to(SOURCES)}:{number}: {line.strip()}"
        for path in sorted(SOURCES.rglob("*"))
        if path.suffix in (".py", ".pyx", ".pxi", ".pxd", ".c", ".h")
        and "egg-info" not in str(path)
        and path.name != "_node.c"
        and str(path.relative_to(SOURCES)) not in SHOWN
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if asking.search(line)
    ]
    assert not found
