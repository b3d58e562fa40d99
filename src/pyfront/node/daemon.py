# SPDX-License-Identifier: Apache-2.0
"""The daemon of a node: one asyncio loop beside the core's C thread.

Puts the parts of this package together and carries events between them: from core, zygote, clients and signals.
Nothing here is on the path of a call. It ends, and the node with it, on SIGTERM or SIGINT, when the driver that
started it asks, goes or dies, and when the zygote dies. If the daemon is killed, the zygote cleans up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from shoal._core import status
from shoal._core._node import (
    EVENT_ACTOR_UNREFERENCED,
    EVENT_CLIENT_SWEPT,
    EVENT_CONDEMNED,
    EVENT_FLUSH,
    EVENT_GRANTED,
    EVENT_LIMITED,
    EVENT_NEED_WORKERS,
    EVENT_QUARANTINED,
    EVENT_STARVED,
    ROLE_DRIVER,
    VERDICT_REMOVED,
    NodeCore,
)
from shoal.config import cache_dir, cache_limit, log_dir, log_limit, memory_config
from shoal.memory import Meter
from shoal.node.actors import Actors
from shoal.node.connections import UNREGISTERED, Connection, refuse
from shoal.node.crews import Crews
from shoal.node.deaths import Deaths, client_key
from shoal.node.descriptors import OF_DRIVER, Descriptors
from shoal.node.environments import Environments
from shoal.node.groups import Groups
from shoal.node.jobs import Job, Jobs
from shoal.node.log_file import LogFile
from shoal.node.memory_guard import MemoryGuard
from shoal.node.metrics_reader import MetricsReader
from shoal.node.output_tail import OutputTail
from shoal.node.package_folder import PackageFolder
from shoal.node.parts import Node
from shoal.node.peers import Peer, is_same, peer_of
from shoal.node.placement_groups import PlacementGroups
from shoal.node.placing import NODE_ID_LABEL, Placing
from shoal.node.processes import end_descendants
from shoal.node.refusal import Refusal
from shoal.node.requests import Requests
from shoal.node.resources import CPU, Ledger, detect, node_capacity
from shoal.node.sessions import Session
from shoal.node.settings import NodeSettings
from shoal.node.spiller import make_spiller
from shoal.node.stack_collector import StackCollector
from shoal.node.staffing import Staffing
from shoal.node.starvation import Starvation
from shoal.node.worker_pool import WorkerPool, WorkerProcess
from shoal.node.zygote_port import ZygotePort
from shoal.protocol.messages import FlushReferences, Hello, NodeConfig, Refused, Welcome
from shoal.protocol.orders import Exited, NotStarted, Preload, Started, ZygoteReport

BACKLOG = 64
ZYGOTE_LIMIT_S = 3.0  # then the daemon ends all that is left itself
FLUSH_LIMIT_S = 1.0
PRELOAD_AFTER_S = 0.3  # a driver's first tasks should not wait for it
LATER_MODULES = (
    "shoal.worker.thread_host",
    "shoal.worker.lane_host",
    "shoal.worker.async_host",
    "shoal.worker.loop_selector",
)  # what some actors need
JOB_ENDED = "its job has ended"
TASK_ENDED = "the task that it ran was cancelled by force"
GROUP_REMOVED = "the placement group of the task that it ran was removed"


class Daemon:
    """One node. Owns the core, the session's folder and all sockets."""

    def __init__(self, settings: NodeSettings, session: Session, zygote_sock: socket.socket, zygote_pid: int) -> None:
        capacity, store_bytes = node_capacity(settings, detect())
        self._session = session
        self._zygote_pid = zygote_pid
        self._ledger = Ledger(capacity)
        self._core = NodeCore(cpus=int(capacity[CPU]), store_bytes=store_bytes)
        for kind, milli in self._ledger.capacities().items():
            self._core.set_capacity(kind, milli)
        self._metrics = MetricsReader(self._core, self._ledger, store_bytes, settings.metrics_export_port)
        labels = {NODE_ID_LABEL: session.name, **settings.labels}
        self._config = NodeConfig(
            session.name,
            session.name,
            session.path,
            os.getpid(),
            capacity,
            store_bytes,
            settings.tracing,
            settings.record_lines,
            self._metrics.port,
            labels,
        )
        self._deaths = Deaths()
        folder = log_dir()
        log_file = None
        if folder:
            log_file = LogFile(os.path.join(folder, f"{session.name}.log"), log_limit(), self._warn_everybody)
        self._log_path = log_file.path if log_file else None
        output = OutputTail()
        self._jobs = Jobs(self._core.drop, output, log_file)
        self._port = ZygotePort(zygote_sock, self._take_report, self._zygote_lost)
        self._descriptors = Descriptors()
        self._packages = PackageFolder(cache_dir(), session.name)
        self._environments = Environments(cache_dir(), cache_limit())
        self._crews = Crews(self._core, self._environments, self._deaths)
        self._pool = WorkerPool(
            self._core,
            self._config,
            self._port.send,
            self._connect_worker,
            self._process_ended,
            self._descriptors,
            self._environments,
        )
        self._staffing = Staffing(self._core, self._pool, self._crews, int(capacity[CPU]))
        self._actors = Actors(
            self._core, self._deaths, self._pool.start, self._pool.kill, self._end_job, self._log_path
        )
        self._placement_groups = PlacementGroups(self._core, self._ledger, labels, self._deaths, self._actors.end_group)
        self._placing = Placing(self._ledger, self._placement_groups, session.name, labels)
        self._starvation = Starvation()
        self._damage_told = False
        self._spiller = make_spiller(
            self._core, settings, store_bytes, self._warn_everybody, self._descriptors.n_spill_files
        )
        self._memory = MemoryGuard(self._core, self._pool, self._jobs, Meter(), memory_config())
        self._requests = Requests(
            Node(
                self._core,
                self._config,
                self._ledger,
                self._jobs,
                self._pool,
                self._actors,
                self._placement_groups,
                self._placing,
                self._deaths,
                self._starvation,
                self._spiller,
                StackCollector(self._jobs, self._pool),
                output,
                self._crews,
                self._packages,
                self._staffing.crew_began,
                Groups(self._core.hold, self._core.drop),
                self._metrics.collector,
                self._metrics.read,
                self._stop,
            )
        )
        self._listener: socket.socket | None = None
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Future[None]] = set()
        self._stopping = asyncio.Event()

    async def run(self, starter: socket.socket | None) -> None:
        """Serve until the node is to stop, then end every process of it and remove its folder."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report_defect)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        self._core.start()
        loop.add_reader(self._core.event_fd, self._drain_events)
        self._port.open()
        self._spiller.start()
        self._metrics.start(self._spiller.counters)
        self._memory.start()
        if starter is not None:
            self._descriptors.take(OF_DRIVER)
            self._connect_driver(starter, is_starter=True)
        self._listen()
        try:
            await self._stopping.wait()
        finally:
            await self._end()

    # -- clients

    def _listen(self) -> None:
        self._listener = self._session.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        with suppress(OSError):  # whoever knocked is gone
            sock, _ = self._listener.accept()
            if not self._descriptors.take(OF_DRIVER):
                refuse(sock, Refused.FULL, self._descriptors.shortage)
                return
            self._connect_driver(sock, is_starter=False)

    def _connect_driver(self, sock: socket.socket, is_starter: bool) -> None:
        try:
            peer = peer_of(sock)
        except OSError:
            self._drop(sock)
            if is_starter:
                self._stop()
            return
        if peer.uid != os.getuid():
            os.close(peer.pidfd)
            self._drop(sock)
            return

        def welcome(connection: Connection, hello: Hello) -> None:
            self._welcome_driver(connection, hello, peer, is_starter)

        def lost(connection: Connection) -> None:
            os.close(peer.pidfd)
            self._descriptors.give(OF_DRIVER)
            self._driver_lost(connection, is_starter)

        connection = Connection(sock, peer.pid, self._requests.answer, lost, welcome, self._config.node_id)
        self._open(connection)

    def _drop(self, sock: socket.socket) -> None:
        sock.close()
        self._descriptors.give(OF_DRIVER)

    def _connect_worker(self, sock: socket.socket, pid: int) -> Connection:
        connection = Connection(sock, pid, self._requests.answer, self._worker_lost)
        self._open(connection)
        return connection

    def _open(self, connection: Connection) -> None:
        self._connections.add(connection)
        opening = asyncio.ensure_future(connection.open())
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _welcome_driver(self, connection: Connection, hello: Hello, peer: Peer, is_starter: bool) -> None:
        if self._stopping.is_set():
            raise Refusal(Refused.STOPPING, "the node is stopping")
        if hello.pid != connection.pid:
            raise Refusal(Refused.NOT_WELCOME, f"process {hello.pid} speaks through a socket of {connection.pid}")
        if not is_same(peer, hello.started):
            raise Refusal(Refused.NOT_WELCOME, f"process {hello.pid} is not the one that connected, which is gone")
        if hello.python != python_version():
            raise Refusal(
                Refused.NOT_WELCOME,
                f"the node runs Python {python_version()} and this driver {hello.python}: their pickles may not be "
                "read by each other; use the same version",
            )
        job = self._jobs.add(connection, hello, is_starter)
        try:
            key = self._core.register(connection.pid, peer.pidfd, ROLE_DRIVER, -1, job.root)
        except status.StoreFull as error:
            self._jobs.remove(job)
            raise Refusal(Refused.FULL, "the node has no room for one more process") from error
        connection.job, connection.key = job, key
        welcome = Welcome(*key, job.root, job.namespace, self._config)
        connection.send_welcome(welcome, [self._core.segment_fd, self._core.poke_fd])
        self._staffing.job_began(job)
        asyncio.get_running_loop().call_later(PRELOAD_AFTER_S, self._preload, [*LATER_MODULES, *hello.preload])

    def _preload(self, modules: list[str]) -> None:
        if not self._stopping.is_set():
            self._port.send(Preload(modules), [])

    def _driver_lost(self, connection: Connection, is_starter: bool) -> None:
        self._connections.discard(connection)
        if connection.job is not None:
            self._end_job(connection.job)
        if is_starter:
            self._stop()

    def _worker_lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        process = self._pool.of_connection(connection)
        if process is not None and not self._stopping.is_set():
            self._pool.hung_up(process)

    def _end_job(self, job: Job) -> None:
        if not self._jobs.remove(job):
            return
        if job.driver is not None:
            job.driver.job = None
            self._core.fence(*job.driver.key)
        # Its queue goes first, or the deaths of its workers would be taken for failures to be retried.
        self._core.end_root(job.root)
        self._actors.end_job(job)
        self._crews.end_job(job)
        for group in self._placement_groups.end_job(job):
            self._placing.forget(group.asked.id)
        for process in self._pool.of_job(job):
            self._pool.kill(process, JOB_ENDED)
        if job.driver is not None:
            self._actors.creator_gone(job.driver)  # detached ones, which are of another job
            job.driver.close()
        if job.is_starter:
            self._stop()

    # -- events

    def _drain_events(self) -> None:
        is_measuring = False
        for kind, a, b, c in self._core.drain_events():
            if kind == EVENT_CLIENT_SWEPT:
                self._client_swept(a, b)
            elif kind == EVENT_NEED_WORKERS and b >= 0:
                self._actors.granted(b)
            elif kind == EVENT_NEED_WORKERS:
                self._need_workers(a, c)
            elif kind == EVENT_ACTOR_UNREFERENCED:
                self._actors.unreferenced(a)
            elif kind == EVENT_FLUSH:
                self._flush_references(a)
            elif kind == EVENT_STARVED:
                self._warn_of_starvation(a, b / 1000)
            elif kind == EVENT_QUARANTINED:
                self._warn_of_damage()
            elif kind == EVENT_LIMITED:
                is_measuring = True
            elif kind == EVENT_CONDEMNED:
                self._kill_condemned(a, b, GROUP_REMOVED if c == VERDICT_REMOVED else TASK_ENDED)
            elif kind == EVENT_GRANTED:
                self._placement_groups.granted(a)
        if is_measuring and not self._stopping.is_set():
            self._memory.measure()

    def _need_workers(self, count: int, number: int) -> None:
        crew = self._crews.get(number)
        job = self._jobs.get(number) if crew is None else crew.job
        if job is not None and not self._stopping.is_set():
            self._staffing.needed(job, count, crew)

    def _client_swept(self, index: int, epoch: int) -> None:
        driver = next((job for job in self._jobs if job.driver and job.driver.key == (index, epoch)), None)
        if driver is not None:
            self._end_job(driver)
        else:
            self._pool.swept(index, epoch)

    def _kill_condemned(self, index: int, epoch: int, reason: str) -> None:
        process = self._pool.of_client(index, epoch)
        if process is not None:
            self._pool.kill(process, reason)

    def _flush_references(self, index: int) -> None:
        """Ask one client, or with index 0 every driver and actor, to let go of the references it has dropped."""
        if index == 0:
            self._spiller.room_wanted()
        for job in self._jobs:
            if job.driver is not None and index in (0, job.driver.key[0]):
                job.driver.push(FlushReferences())
        for process in self._pool:
            if process.connection is not None and (process.key[0] == index if index else process.actor is not None):
                process.connection.push(FlushReferences())

    def _warn_everybody(self, text: str) -> None:
        for job in self._jobs:
            job.warn(text)

    def _warn_of_starvation(self, class_id: int, waited_s: float) -> None:
        group, job = self._placement_groups.of_class(class_id), self._jobs.of_class(class_id)
        now_s = asyncio.get_running_loop().time()
        if group is not None:
            text = self._starvation.warning(class_id, self._placing.wait_of_group(group), waited_s, now_s)
            job = self._jobs.get(group.job.root)
        elif job is not None:
            text = self._starvation.warning(
                class_id, self._placing.wait_of_class(class_id, job.classes[class_id]), waited_s, now_s
            )
        if job is not None and text is not None:
            job.warn(text)

    def _warn_of_damage(self) -> None:
        """Once in the life of the node: whatever wrote over its memory once may do so many times a second."""
        if not self._damage_told:
            self._damage_told = True
            self._warn_everybody(
                "A process of this node has written over memory that it shares with the others. Damaged tasks and "
                "objects end with an ObjectLostError. Look for native code that writes out of bounds."
            )

    def _take_report(self, report: ZygoteReport, pidfd: int | None) -> None:
        if isinstance(report, Started):
            assert pidfd is not None
            self._pool.started(report.number, report.pid, pidfd)
        elif isinstance(report, NotStarted):
            self._pool.not_started(report.number, report.text)
        elif isinstance(report, Exited):
            self._pool.exited(report.pid, report.status)

    def _process_ended(self, process: WorkerProcess) -> None:
        self._memory.explain(process)
        if process.key != UNREGISTERED:
            self._deaths.record(process.death(self._log_path), client_key(*process.key))
        self._actors.process_ended(process)
        if process.connection is not None:
            self._actors.creator_gone(process.connection)
        if not self._stopping.is_set():
            self._staffing.process_ended(process)

    def _zygote_lost(self) -> None:
        if not self._stopping.is_set():
            self._warn_everybody("The node's zygote process died, and all workers with it. The node stops.")
        self._stop()

    def _report_defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        error = context.get("exception")
        self._warn_everybody(f"The node's daemon has a defect; please report it: {context['message']}: {error!r}")

    # -- the end

    def _stop(self) -> None:
        self._stopping.set()

    async def _end(self) -> None:
        loop = asyncio.get_running_loop()
        self._memory.stop()
        self._metrics.close()
        if self._listener is not None:
            loop.remove_reader(self._listener)
            self._listener.close()
        loop.remove_reader(self._core.event_fd)
        self._spiller.close()
        self._environments.close()
        self._core.stop()  # first: what dies from here on is the end of the node, not a failure of a task
        self._port.close()  # the zygote ends all workers, then itself
        await self._zygote_gone()
        end_descendants(0, ZYGOTE_LIMIT_S)  # normally there is nothing left
        for process in self._pool:
            if process.output is not None:
                process.output.finish()
        for job in self._jobs:
            job.flush()
        self._session.remove()
        self._packages.remove()
        await self._hang_up()

    async def _zygote_gone(self) -> None:
        try:
            pidfd = os.pidfd_open(self._zygote_pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(pidfd, gone.set)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(gone.wait(), ZYGOTE_LIMIT_S)
        loop.remove_reader(pidfd)
        os.close(pidfd)

    async def _hang_up(self) -> None:
        for connection in list(self._connections):
            connection.close()
        closing = [connection.closed for connection in self._connections]
        if closing:
            await asyncio.wait(closing, timeout=FLUSH_LIMIT_S)


def python_version() -> str:
    """Major and minor version: what a pickle's code objects depend on."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
