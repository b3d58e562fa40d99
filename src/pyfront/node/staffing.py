# SPDX-License-Identifier: Apache-2.0
"""How many workers each job has: one per CPU from the start, more when all that exist are blocked or busy elsewhere,
fewer again when they idle, and no endless attempts when they fail to start.

Workers of a job's further environments come when tasks want them, linger for a while, and make room when those of
others are wanted: there are at most so many beside those that are parked in `get`, or one for each environment with
work.
"""

from __future__ import annotations

import asyncio

from shoal._core._node import RUN_BUSY, NodeCore
from shoal.node.crews import Crew, Crews
from shoal.node.jobs import Job
from shoal.node.newborn import STILLBORN
from shoal.node.processes import describe_status
from shoal.node.worker_pool import WorkerPool, WorkerProcess

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
SPARE_EXIT_S = 10.0  # longer than the pauses of a program that blocks again and again
CREW_EXIT_S = 60.0  # a worker with an environment takes longer to start
CREW_PER_CPU = 4  # such workers, of all environments together
RETIRE_PAUSE_S = 0.5  # so that a worker which has just come gets to work before it is asked to leave for others
NOT_ARRIVED = 0  # run state of a client that has not looked for work yet


class Staffing:
    """Decides when the pool starts task workers."""

    def __init__(self, core: NodeCore, pool: WorkerPool, crews: Crews, n_cpus: int) -> None:
        self._core = core
        self._pool = pool
        self._crews = crews
        self._n_cpus = n_cpus
        self._most = CREW_PER_CPU * n_cpus
        self._retired_s = -RETIRE_PAUSE_S  # loop time at which a worker was last asked to leave
        # By number of a crew, or of the root for workers without an environment:
        self._pauses: dict[int, float] = {}  # seconds until the next attempt, while workers fail to start
        self._resume_s: dict[int, float] = {}  # loop time before which none is started

    def job_began(self, job: Job) -> None:
        """A driver is there: its first tasks should find workers."""
        if job.hello.has_environment:
            return  # `crew_began` comes
        for _ in range(self._n_cpus):
            self._pool.start(job)

    def crew_began(self, crew: Crew) -> None:
        """Tasks of it will come. Those of a job's own environment should find workers; no effect when repeated."""
        if self._crews.is_ready(crew, lambda: self.crew_began(crew)) and crew.is_main and not self._workers_of(crew):
            for _ in range(self._n_cpus):
                self._pool.start(crew.job, crew=crew)

    def needed(self, job: Job, count: int, crew: Crew | None = None) -> None:
        """The core could use so many more workers now; it says so again as long as that is so."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._resume_s.get(job.root if crew is None else crew.number, 0.0):
            return
        if crew is not None:
            crew.asked_s = now_s
            if not self._crews.is_ready(crew):
                return
        workers = [process for process in self._pool.of_job(job) if process.actor is None and process.crew is crew]
        count -= self._n_coming(workers)
        if crew is not None and not crew.is_main:
            for _ in range(min(count, self._room(crew, has_any=bool(workers)))):
                self._pool.start(job, idle_exit_s=CREW_EXIT_S, crew=crew)
            return
        n_staying = sum(not process.is_spare for process in workers)
        for number in range(count):
            is_spare = n_staying + number >= self._n_cpus
            self._pool.start(job, idle_exit_s=SPARE_EXIT_S if is_spare else None, crew=crew)

    def process_ended(self, process: WorkerProcess) -> None:
        """Notice workers that never got to work, tell the driver why, and wait longer and longer before the next."""
        number = process.job.root if process.crew is None else process.crew.number
        if process.actor is not None or not _is_stillborn(process):
            self._pauses.pop(number, None)
            return
        pause_s = min(self._pauses.get(number, FIRST_PAUSE_S / 2) * 2, LONGEST_PAUSE_S)
        self._pauses[number] = pause_s
        self._resume_s[number] = asyncio.get_running_loop().time() + pause_s
        said = "\n".join(process.output.stderr_tail) if process.output else ""
        process.job.warn(f"A worker could not start; the next attempt is in {pause_s:g} s. {process.reason}\n{said}")

    def _workers_of(self, crew: Crew) -> list[WorkerProcess]:
        return [process for process in self._pool if process.crew is crew]

    def _n_coming(self, workers: list[WorkerProcess]) -> int:
        arrived = {
            (client["index"], client["epoch"]) for client in self._core.clients() if client["run_state"] != NOT_ARRIVED
        }
        return sum(process.key not in arrived for process in workers)

    def _room(self, crew: Crew, *, has_any: bool) -> int:
        """Room for workers of this crew. If it has none and there is no room, one of others is asked to leave."""
        clients = {(client["index"], client["epoch"]): client for client in self._core.clients()}
        others = [process for process in self._pool if process.crew is not None and not process.crew.is_main]
        awake = [process for process in others if not clients.get(process.key, {}).get("is_blocked")]
        room = self._most - len(awake)
        staying = [process for process in awake if not process.is_retired]
        now_s = asyncio.get_running_loop().time()
        if room > 0 or has_any or not staying or now_s - self._retired_s < RETIRE_PAUSE_S:
            return max(0, room)

        def expendable(process: WorkerProcess) -> tuple[bool, float]:
            is_busy = clients.get(process.key, {}).get("run_state", RUN_BUSY) == RUN_BUSY
            return is_busy, process.crew.asked_s if process.crew is not None else 0.0

        self._retired_s = now_s
        self._pool.retire(min(staying, key=expendable))
        return 0


def _is_stillborn(process: WorkerProcess) -> bool:
    return process.pid == 0 or (process.status is not None and describe_status(process.status)[0] == STILLBORN)
