# SPDX-License-Identifier: Apache-2.0
"""Memory of the node: ends processes that exceed their own limit, and somebody when the node runs short of it.

Measures when the core says that a limited process may have grown, and the node as often as `pressure` says. A worker is
condemned before it is killed: from then on its task cannot finish, so that the kill never hits the next one.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Iterable
from typing import Any

from shoal._core._node import ROLE_ACTOR, VERDICT_LIMIT, VERDICT_PRESSURE, NodeCore
from shoal.config import MemoryConfig
from shoal.memory import Meter, NodeMemory, show, show_node
from shoal.node.jobs import Jobs
from shoal.node.pressure import SELDOM_S, Candidate, choose_victim, is_short, next_look_s
from shoal.node.processes import describe_status
from shoal.node.resources import MEMORY
from shoal.node.worker_pool import WorkerPool, WorkerProcess
from shoal.protocol.messages import MemoryEnd

SHOWN_PROCESSES = 4
KERNEL_WINDOW_S = 5.0  # a kill by the kernel is counted this long before we hear of the death, at most
HELPLESS_PERIOD_S = 60.0

Client = dict[str, Any]  # as `NodeCore.running` gives it


class MemoryGuard:
    """Watches one node. All methods run on the daemon's loop."""

    def __init__(self, core: NodeCore, pool: WorkerPool, jobs: Jobs, meter: Meter, config: MemoryConfig) -> None:
        self._core = core
        self._pool = pool
        self._jobs = jobs
        self._meter = meter
        self._config = config
        self._peaks: dict[object, int] = {}  # of each limited call: the most it was seen to hold
        self._dying: WorkerProcess | None = None  # ended for the node's sake; nobody else before it is gone
        self._timer: asyncio.TimerHandle | None = None
        self._helpless_s = -HELPLESS_PERIOD_S
        self._kernel_kills = deque([meter.oom_kills()], maxlen=int(KERNEL_WINDOW_S / SELDOM_S) + 1)
        self._kernel_look_s = 0.0
        core.set_pressure_retries(config.retries, config.pause_s)

    def start(self) -> None:
        """Begin to watch the node."""
        self._timer = asyncio.get_running_loop().call_later(SELDOM_S, self._watch)

    def stop(self) -> None:
        """End nobody from here on."""
        if self._timer is not None:
            self._timer.cancel()

    # -- limits of single calls and actors

    def measure(self) -> None:
        """Look at every process under a limit, and end those that hold more than they may."""
        peaks: dict[object, int] = {}
        for client in self._core.running(limited_only=True):
            held = self._meter.private(client["pid"])
            key = (client["index"], client["epoch"], None if client["role"] == ROLE_ACTOR else client["task"])
            peaks[key] = max(self._peaks.get(key, 0), held)
            if held > client["allowance"]:
                self._end_over_limit(client, peaks[key])
        self._peaks = peaks

    def _end_over_limit(self, client: Client, peak: int) -> None:
        process = self._pool.of_client(client["index"], client["epoch"])
        if process is None or process.is_condemned or not self._condemn(client, VERDICT_LIMIT):
            return
        base, name = client["baseline"], self._name_of(client, process)
        limit = self._limit_of(client, process) or client["allowance"] - base
        state = self._state(self._meter.node(), (process, name))
        end = MemoryEnd(MemoryEnd.LIMIT, name, peak - base, limit, state)
        self._end(process, end, "it held more memory than its limit")

    # -- the node

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        reading = self._meter.node()
        # Before what may fail: a defect there must not leave the node without a guard.
        self._timer = loop.call_later(next_look_s(reading, self._config.threshold), self._watch)
        if loop.time() - self._kernel_look_s >= SELDOM_S:
            self._kernel_look_s = loop.time()
            self._kernel_kills.append(self._meter.oom_kills())
        if is_short(reading, self._config.threshold):
            self.relieve(reading)

    def relieve(self, reading: NodeMemory) -> None:
        """The node is short of memory: end one process, unless one that was ended is still there."""
        if self._dying is not None and self._dying.status is None:
            return
        clients: dict[tuple[int, int], tuple[Client, WorkerProcess]] = {}
        candidates = []
        for client in self._core.running():
            process = self._pool.of_client(client["index"], client["epoch"])
            if process is None or process.is_condemned:
                continue
            clients[client["index"], client["epoch"]] = (client, process)
            candidates.append(self._candidate(client))
        chosen = choose_victim(candidates)
        if chosen is None:
            self._tell_helpless(reading)
            return
        client, process = clients[chosen.client, chosen.epoch]
        if not self._condemn(client, VERDICT_PRESSURE):
            return  # it has just ended: look again
        self._dying = process
        name = self._name_of(client, process)
        state = self._state(reading, (process, name))
        end = MemoryEnd(MemoryEnd.PRESSURE, name, chosen.held_bytes, 0, state, client["pressed"] + 1)
        self._end(process, end, "the node ran short of memory")
        process.job.warn(
            f"The node runs short of memory: {state}; the threshold is {self._config.threshold:.0%}. Ended {name} "
            f"(pid {process.pid}), which held {show(chosen.held_bytes)}. {self._outlook(client, chosen)}"
        )

    def _candidate(self, client: Client) -> Candidate:
        is_retriable = (
            client["role"] != ROLE_ACTOR and client["max_retries"] > 0 and client["pressed"] < self._config.retries
        )
        held = self._meter.private(client["pid"])
        return Candidate(client["index"], client["epoch"], is_retriable, client["since_ns"], held)

    def _outlook(self, client: Client, chosen: Candidate) -> str:
        if client["role"] == ROLE_ACTOR:
            return "It is restarted." if client["restarts"] else "It is not restarted."
        if client["max_retries"] == 0:
            return "It is not run again, because its max_retries is 0."
        if not chosen.is_retriable:
            return f"It is not run again: this was attempt {client['pressed'] + 1} that ended so."
        number = client["pressed"] + 1
        return f"It is run again after a pause; retry {number} of {self._config.retries} for this reason."

    def _tell_helpless(self, reading: NodeMemory) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._helpless_s < HELPLESS_PERIOD_S:
            return
        self._helpless_s = now_s
        for job in self._jobs:
            job.warn(
                f"The node runs short of memory, and no task or actor holds enough of it to be worth ending: "
                f"{self._state(reading)}. Drop refs that are no longer needed, or give init() a smaller "
                "object_store_memory."
            )

    # -- the kernel

    def explain(self, process: WorkerProcess) -> None:
        """A process has ended: was it the kernel that ran out of memory? Nobody says so, but it counts its kills."""
        if process.memory is not None or process.is_condemned or process.status is None:
            return
        if describe_status(process.status)[1] != signal.SIGKILL:
            return
        n_kills = self._meter.oom_kills()
        if n_kills > self._kernel_kills[0]:
            name = process.actor.class_name if process.actor else process.output.last_name if process.output else ""
            process.memory = MemoryEnd(MemoryEnd.KERNEL, name, 0, 0, self._state(self._meter.node()))

    # -- inside

    def _condemn(self, client: Client, verdict: int) -> bool:
        if client["role"] == ROLE_ACTOR:
            return True
        return self._core.condemn(client["index"], client["epoch"], client["task"], verdict)

    def _end(self, process: WorkerProcess, end: MemoryEnd, reason: str) -> None:
        process.memory = end
        self._pool.kill(process, reason)

    def _name_of(self, client: Client, process: WorkerProcess) -> str:
        if process.actor is not None:
            return process.actor.name or process.actor.class_name
        return process.job.functions.get(client["key"], (b"", "a task"))[1]

    def _limit_of(self, client: Client, process: WorkerProcess) -> int:
        return int(process.job.classes.get(client["class_id"], {}).get(MEMORY, 0))

    def _state(self, reading: NodeMemory, ended: tuple[WorkerProcess, str] | None = None) -> str:
        """The node in words. `ended`: a condemned process, which the core no longer lists, and its name."""
        store = self._core.counters()["live_bytes"]
        biggest = sorted(self._sizes(ended), reverse=True)[:SHOWN_PROCESSES]
        named = ", ".join(f"{who} {show(size)}" for size, who in biggest)
        return f"{show_node(reading)}, objects take {show(store)}, the biggest processes are {named}"

    def _sizes(self, ended: tuple[WorkerProcess, str] | None) -> Iterable[tuple[int, str]]:
        """(private bytes, who) of all workers, actors and drivers."""
        running = {(client["index"], client["epoch"]): client for client in self._core.running()}
        for process in self._pool:
            client = running.get(process.key)
            who = "an idle worker" if client is None else self._name_of(client, process)
            if ended is not None and process is ended[0]:
                who = ended[1]
            if process.pid:
                yield self._meter.private(process.pid), f"{who} (pid {process.pid})"
        for job in self._jobs:
            if job.driver is not None:
                yield self._meter.private(job.driver.pid), f"the driver (pid {job.driver.pid})"
