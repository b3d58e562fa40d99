# SPDX-License-Identifier: Apache-2.0
"""How many workers each job has: one per CPU from the start, more when all that exist are blocked or busy elsewhere,
fewer again when they idle, and no endless attempts when they fail to start.
"""

from __future__ import annotations

import asyncio

from shoal._core._node import NodeCore
from shoal.node.jobs import Job
from shoal.node.newborn import STILLBORN
from shoal.node.processes import describe_status
from shoal.node.worker_pool import WorkerPool, WorkerProcess

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
SPARE_EXIT_S = 10.0  # longer than the pauses of a program that blocks again and again
NOT_ARRIVED = 0  # run state of a client that has not looked for work yet


class Staffing:
    """Decides when the pool starts task workers."""

    def __init__(self, core: NodeCore, pool: WorkerPool, n_cpus: int) -> None:
        self._core = core
        self._pool = pool
        self._n_cpus = n_cpus
        self._pauses: dict[int, float] = {}  # root -> seconds until the next attempt, while workers fail to start
        self._resume_s: dict[int, float] = {}  # root -> loop time before which none is started

    def job_began(self, job: Job) -> None:
        """A driver is there: its first tasks should find workers."""
        for _ in range(self._n_cpus):
            self._pool.start(job)

    def needed(self, job: Job, count: int) -> None:
        """The core could use so many more workers now; it says so again as long as that is so."""
        if asyncio.get_running_loop().time() < self._resume_s.get(job.root, 0.0):
            return
        n_staying = sum(process.actor is None and not process.is_spare for process in self._pool.of_job(job))
        for number in range(count - self._n_coming(job)):
            is_spare = n_staying + number >= self._n_cpus
            self._pool.start(job, idle_exit_s=SPARE_EXIT_S if is_spare else None)

    def process_ended(self, process: WorkerProcess) -> None:
        """Notice workers that never got to work, tell the driver why, and wait longer and longer before the next."""
        root = process.job.root
        if process.actor is not None or not _is_stillborn(process):
            self._pauses.pop(root, None)
            return
        pause_s = min(self._pauses.get(root, FIRST_PAUSE_S / 2) * 2, LONGEST_PAUSE_S)
        self._pauses[root] = pause_s
        self._resume_s[root] = asyncio.get_running_loop().time() + pause_s
        said = "\n".join(process.output.stderr_tail) if process.output else ""
        process.job.warn(f"A worker could not start; the next attempt is in {pause_s:g} s. {process.reason}\n{said}")

    def _n_coming(self, job: Job) -> int:
        arrived = {
            (client["index"], client["epoch"]) for client in self._core.clients() if client["run_state"] != NOT_ARRIVED
        }
        return sum(process.actor is None and process.key not in arrived for process in self._pool.of_job(job))


def _is_stillborn(process: WorkerProcess) -> bool:
    return process.pid == 0 or (process.status is not None and describe_status(process.status)[0] == STILLBORN)
