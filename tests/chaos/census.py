# SPDX-License-Identifier: Apache-2.0
"""What a node holds: objects, tasks, CPUs, processes, descriptors and memory, before and after a test."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

import shoal
from shoal import runtime

SETTLE_S = 15.0  # sweeps, reference logs and spare workers' leaving, on a loaded machine
STEP_S = 0.05
CALM_ROUNDS = 20
HELD = ("live_entries", "live_slots", "live_waiters", "live_bytes")
SPARE_FDS = 8  # a worker or two may be on their way in or out
FDS_OF_WORKER = 5  # in the daemon: its socket, pidfds and pipes
IS_UNDER_ASAN = "libasan" in os.environ.get("LD_PRELOAD", "")  # scripts/under_asan
# Bytes that allocators of the driver and the daemon may keep. ASan keeps what was freed in a quarantine and hands pages
# back late; its shadow adds an eighth of everything.
SPARE_MEMORY = (128 if IS_UNDER_ASAN else 24) << 20

pause = threading.Event().wait


@shoal.remote
def _touch(n: int) -> int:
    return n


def node_processes() -> dict[str, list[psutil.Process]]:
    """The processes below this driver, by name."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(process.name(), []).append(process)
    return found


def n_wakes() -> int:
    """How often threads of the node and of this driver have been woken. What a wake costs is the machine's affair."""
    found = 0
    processes = [psutil.Process(), *(process for group in node_processes().values() for process in group)]
    for process in processes:
        with suppress(OSError):  # gone meanwhile
            for status in Path("/proc", str(process.pid), "task").glob("*/status"):
                with suppress(OSError):
                    found += int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return found


def workers() -> list[psutil.Process]:
    """The node's workers and actors."""
    found = node_processes()
    return [process for name in found if name not in ("shoal-daemon", "shoal-zygote") for process in found[name]]


def private_bytes(process: psutil.Process) -> int:
    """Memory that only this process uses: the Private_* lines of its smaps, without the segment's."""
    return sum(
        area.private_clean + area.private_dirty for area in process.memory_maps() if not area.path.startswith("/memfd:")
    )


def await_until(is_so: Callable[[], bool], limit_s: float = SETTLE_S) -> bool:
    """Ask until it is so or time is over; every question also lets this client hand on what it dropped."""
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        shoal.get(shoal.put(None))
        pause(STEP_S)
    return True


def await_few(count: Callable[[], int], most: int) -> None:
    """Wait until there are no more than `most`, with no node to ask; fails if that does not come."""
    deadline_s = time.monotonic() + SETTLE_S
    while (left := count()) > most:
        assert time.monotonic() < deadline_s, f"{left} are left, and there were {most}"
        pause(STEP_S)


class Census:
    """Counts taken on an idle node when made, and compared by `assert_as_before`.

    Spare workers, made for nested gets, leave after ten idle seconds: only tests that set `is_awaiting_spares` wait.
    """

    def __init__(self) -> None:
        self.is_awaiting_spares = False
        for _ in range(3):  # what stays for good is there before we count
            shoal.get([_touch.remote(n) for n in range(100)])
        await_until(lambda: len(workers()) >= int(shoal.cluster_resources()["CPU"]))  # the last may be on its way
        self._daemon = node_processes()["shoal-daemon"][0]
        await_until(lambda: self.held()["live_slots"] == 0)
        self.before = self.held()
        self.cpus = shoal.cluster_resources()["CPU"]  # not what is free: a worker may only just be leaving its seat
        self.n_workers = len(workers())
        self.fds = self.descriptors()
        self.memory = private_bytes(self._daemon)

    def held(self) -> dict[str, float]:
        runtime.connected().client.flush()  # what this driver dropped last is not held any more
        counters = runtime.connected().calls.counters()
        return {name: counters[name] for name in HELD}

    def descriptors(self) -> dict[str, int]:
        return {"driver": psutil.Process().num_fds(), "daemon": self._daemon.num_fds()}

    def excess(self) -> dict[str, object]:
        """What there is more than before."""
        found: dict[str, object] = {}
        for name, now in self.held().items():
            if now > self.before[name]:
                found[name] = (self.before[name], now)
        if (cpus := shoal.available_resources()["CPU"]) != self.cpus:
            found["CPU"] = (self.cpus, cpus)
        n_workers, n_usual = len(workers()), max(self.n_workers, int(self.cpus))
        if self.is_awaiting_spares and n_workers > n_usual:
            found["workers"] = (self.n_workers, n_workers)
        spare_fds = SPARE_FDS + FDS_OF_WORKER * max(0, n_workers - n_usual)
        for name, count in self.descriptors().items():
            if count > self.fds[name] + spare_fds:
                found[f"descriptors of the {name}"] = (self.fds[name], count)
        if (memory := private_bytes(self._daemon)) > self.memory + SPARE_MEMORY:
            found["memory of the daemon"] = (self.memory, memory)
        return found

    def assert_as_before(self) -> None:
        gc.collect()
        started_s = time.monotonic()
        await_until(lambda: not self.excess())
        print(f"settled in {time.monotonic() - started_s:.1f} s")
        left = self.excess()
        assert not left, f"left (before, after): {left}"
        assert runtime.connected().calls.counters()["quarantined"] == 0
        assert shoal.get([_touch.remote(n) for n in range(100)]) == list(range(100))
