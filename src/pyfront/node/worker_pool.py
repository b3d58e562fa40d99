# SPDX-License-Identifier: Apache-2.0
"""The node's workers as processes: ordered, started, registered, dead.

    ORDERED --Started--> RUNNING --Exited and swept, in either order--> ended
       `----NotStarted----------------------------------------------------^

ORDERED: the zygote has been asked. RUNNING: registered with the core, and the worker has its welcome. A process has
ended when the zygote gave its wait status and the core has taken back what it held; only then is it forgotten.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import msgspec

from shoal._core import status
from shoal._core._node import ROLE_ACTOR, ROLE_WORKER, NodeCore
from shoal.node.connections import UNREGISTERED, Connection
from shoal.node.crews import Crew, setup_failure
from shoal.node.descriptors import OF_ORDER, OF_WORKER, Descriptors
from shoal.node.environments import Environments, Prepared
from shoal.node.jobs import Job
from shoal.node.logs import WorkerOutput
from shoal.node.processes import describe_status, has_ended
from shoal.protocol.environment import Environment
from shoal.protocol.messages import Death, MemoryEnd, NodeConfig, Retire, Welcome
from shoal.protocol.orders import ActorOrder, StartOrder, ZygoteOrder

HANG_UP_GRACE_S = 1.0  # between a worker's closing its link and being killed for it


class WorkerProcess(msgspec.Struct, eq=False):
    """One worker or actor. Equal only to itself."""

    number: int  # of its order
    job: Job
    actor: ActorOrder | None
    is_spare: bool  # leaves by itself when there is little to do
    crew: Crew | None = None  # of a task worker; None: it has no environment
    link: socket.socket | None = None  # None, like the pipes: there were no descriptors for it
    stdout_fd: int = -1
    stderr_fd: int = -1
    pid: int = 0
    pidfd: int = -1
    key: tuple[int, int] = UNREGISTERED  # (client index, epoch)
    connection: Connection | None = None
    output: WorkerOutput | None = None
    status: int | None = None  # as waitpid gave it
    is_swept: bool = False
    is_condemned: bool = False  # to be killed, as soon as it exists
    reason: str = ""  # why it ends, in the words of whoever ended it
    payload: bytes = b""
    memory: MemoryEnd | None = None  # that it ends for want of memory
    failure: Death | None = None  # that its environment could not be made
    is_of_group: bool = False  # it ends because its placement group was removed
    is_retired: bool = False  # it has been asked to leave
    is_unprepared: bool = False  # its environment is being made, and the zygote is asked then

    @property
    def environment(self) -> Environment | None:
        """What it runs in."""
        if self.actor is not None:
            return self.actor.environment
        return None if self.crew is None else self.crew.environment

    def death(self, log_path: str | None = None) -> Death:
        """How it ended."""
        if self.failure is not None:
            return self.failure
        code, signal_number = (None, None) if self.status is None else describe_status(self.status)
        return Death(
            pid=self.pid,
            exit_code=code,
            signal=signal_number,
            stderr=list(self.output.stderr_tail) if self.output else [],
            name=self.output.last_name if self.output else "",
            log_path=log_path,
            reason=self.reason,
            payload=self.payload,
            memory=self.memory,
            is_of_group=self.is_of_group,
            has_checkpoints=self.actor is not None and self.actor.checkpoint_every > 0,
        )


class WorkerPool:
    """All workers and actors of the node. `ended` is called once for each that is gone for good."""

    def __init__(
        self,
        core: NodeCore,
        config: NodeConfig,
        order: Callable[[ZygoteOrder, list[int]], None],
        connect: Callable[[socket.socket, int], Connection],
        ended: Callable[[WorkerProcess], None],
        descriptors: Descriptors,
        environments: Environments,
    ) -> None:
        self._core = core
        self._environments = environments
        self._descriptors = descriptors
        self._config = config
        self._order = order
        self._connect = connect
        self._ended = ended
        self._last_number = 0
        self._ordered: dict[int, WorkerProcess] = {}
        self._running: dict[int, WorkerProcess] = {}  # by number of the order
        self._alive: dict[int, WorkerProcess] = {}  # by pid, until reaped: then the pid may have another meaning
        self._registered: dict[tuple[int, int], WorkerProcess] = {}  # by client index and epoch, until swept

    def start(
        self,
        job: Job,
        actor: ActorOrder | None = None,
        *,
        idle_exit_s: float | None = None,
        crew: Crew | None = None,
    ) -> WorkerProcess:
        """Ask for one more worker of this job or crew, or for an actor's process, once its environment is there."""
        self._last_number += 1
        process = WorkerProcess(self._last_number, job, actor, idle_exit_s is not None, crew)
        self._ordered[process.number] = process
        if process.environment is None:
            return self._send(process, idle_exit_s, Prepared())
        process.is_unprepared = True
        take = partial(self._prepared, process, idle_exit_s)
        self._environments.prepare(process.environment, list(map(os.fsdecode, job.hello.sys_path)), take)
        return process

    def _prepared(self, process: WorkerProcess, idle_exit_s: float | None, result: Prepared) -> None:
        if process.number not in self._ordered:
            return  # it was killed meanwhile
        process.is_unprepared = False
        if not result.error:
            self._send(process, idle_exit_s, result)
            return
        assert process.environment is not None
        process.failure = setup_failure(process.environment, result)
        self.not_started(process.number, process.failure.reason)

    def _send(self, process: WorkerProcess, idle_exit_s: float | None, result: Prepared) -> WorkerProcess:
        if not self._descriptors.take(OF_ORDER):
            asyncio.get_running_loop().call_soon(self._break_off, process.number, self._descriptors.shortage)
            return process
        process.link, theirs = socket.socketpair()
        (process.stdout_fd, stdout_end), (process.stderr_fd, stderr_end) = os.pipe(), os.pipe()
        job = process.job
        order = StartOrder(
            process.number,
            job.root,
            job.hello.cwd,
            job.hello.sys_path,
            process.actor,
            idle_exit_s,
            process.environment,
            result.prefix,
        )
        self._order(order, [theirs.detach(), stdout_end, stderr_end])
        return process

    def kill(self, process: WorkerProcess, reason: str) -> None:
        """End a process now. The first reason given is the one that is told."""
        process.is_condemned = True
        process.reason = process.reason or reason
        if process.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        elif process.is_unprepared:
            asyncio.get_running_loop().call_soon(self._break_off, process.number, reason)

    def retire(self, process: WorkerProcess) -> None:
        """Have a worker leave after its present task."""
        if process.connection is not None and not process.is_retired:
            process.is_retired = True
            process.connection.push(Retire())

    def of_job(self, job: Job) -> list[WorkerProcess]:
        """All processes of a job, those not forked yet included."""
        return [process for process in self if process.job is job]

    def of_connection(self, connection: Connection) -> WorkerProcess | None:
        """The process at the other end."""
        return self._registered.get(connection.key)

    def of_client(self, index: int, epoch: int) -> WorkerProcess | None:
        """The process that has this client record."""
        return self._registered.get((index, epoch))

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter([*self._ordered.values(), *self._running.values()])

    # -- what the zygote and the core report

    def started(self, number: int, pid: int, pidfd: int) -> None:
        """An order was executed. Takes the pidfd over."""
        process = self._ordered.pop(number)
        self._descriptors.give(OF_ORDER - OF_WORKER)
        process.pid, process.pidfd = pid, pidfd
        self._running[number] = self._alive[pid] = process
        name = process.actor.class_name if process.actor else ""
        process.output = WorkerOutput(pid, name, process.stdout_fd, process.stderr_fd, process.job.print)
        role = ROLE_ACTOR if process.actor else ROLE_WORKER
        class_id = process.actor.class_id if process.actor else -1
        if process.is_condemned:
            self._give_up(process, process.reason)
            return
        try:
            crew = 0 if process.crew is None else process.crew.number
            process.key = self._core.register(pid, pidfd, role, class_id, process.job.root, crew)
        except status.StoreFull:
            self._give_up(process, "the node has no room for one more process")
            return
        self._registered[process.key] = process
        self._welcome(process)

    def not_started(self, number: int, text: str) -> None:
        """An order failed."""
        process = self._ordered.pop(number)
        process.reason = process.reason or text
        if process.link is not None:
            process.link.close()
            os.close(process.stdout_fd)
            os.close(process.stderr_fd)
            self._descriptors.give(OF_ORDER)
        self._ended(process)

    def _break_off(self, number: int, text: str) -> None:
        if number in self._ordered:
            self.not_started(number, text)

    def exited(self, pid: int, wait_status: int) -> None:
        """The zygote reaped a process; one that is not a worker is of no interest."""
        process = self._alive.pop(pid, None)
        if process is None:
            return
        process.status = wait_status
        if process.output is not None:
            process.output.finish()
        self._end_if_gone(process)

    def swept(self, index: int, epoch: int) -> None:
        """The core has taken back what a client held."""
        process = self._registered.pop((index, epoch), None)
        if process is not None:
            process.is_swept = True
            self._end_if_gone(process)

    def hung_up(self, process: WorkerProcess) -> None:
        """A worker's link ended. Its death explains it; a process that lives on without its link is of no use."""
        asyncio.get_running_loop().call_later(
            HANG_UP_GRACE_S, self._kill_if_running, process, "it closed its connection to the node"
        )

    # -- inside

    def _welcome(self, process: WorkerProcess) -> None:
        assert process.link is not None
        connection = self._connect(process.link, process.pid)
        connection.job, connection.key = process.job, process.key
        process.connection = connection
        index, epoch = process.key
        welcome = Welcome(index, epoch, process.job.root, process.job.namespace, self._config)
        connection.send_welcome(welcome, [self._core.segment_fd, self._core.poke_fd])

    def _give_up(self, process: WorkerProcess, reason: str) -> None:
        """The process was forked but will not be a client: the core has nothing to sweep."""
        process.is_swept = True
        if process.link is not None:
            process.link.close()
        self.kill(process, reason)

    def _kill_if_running(self, process: WorkerProcess, reason: str) -> None:
        # The zygote may be late to say that it has died; what it died of is the reason then.
        if process.status is None and not has_ended(process.pidfd):
            self.kill(process, reason)

    def _end_if_gone(self, process: WorkerProcess) -> None:
        if process.status is None or not process.is_swept:
            return
        del self._running[process.number]
        self._descriptors.give(OF_WORKER)
        os.close(process.pidfd)
        process.pidfd = -1
        if process.connection is not None:
            process.connection.close()
        self._ended(process)
