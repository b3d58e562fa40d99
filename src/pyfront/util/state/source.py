# SPDX-License-Identifier: Apache-2.0
"""Where a snapshot comes from: this process's own node, or one that is only looked at.

A process that is connected looks into the segment that it maps anyway. Any other process of the same user opens the
segment for reading through /proc/<daemon>/fd, and says `Observe` to the daemon for its names. Neither needs the daemon
for the records themselves: when it is stopped or stuck, only what `NodeTables` holds is missing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from shoal import runtime
from shoal._core import status
from shoal._core._node import AWAITS_SEVERAL, LOC_INLINE, TASK_LOGGED, VALUE_HAS_REFS, Survey
from shoal.config import driver_config
from shoal.errors import IncompleteStateWarning, NodeDiedError, NodeNotFoundError, NotConnectedError
from shoal.link import Link, RequestRefused
from shoal.node.launch import connect_node
from shoal.node.peers import peer_of
from shoal.node.processes import process_state
from shoal.protocol.messages import R, Request
from shoal.protocol.tables import DescribeNode, Observe
from shoal.util.state.snapshot import (
    ClassRecord,
    ClientRecord,
    ObjectRecord,
    Snapshot,
    TaskRecord,
    WaiterRecord,
)

AUTO = "auto"
ANSWER_TIMEOUT_S = 3.0  # a daemon that does not answer for so long is stopped or stuck
MOST_RECORDS = 200_000  # of one kind in a snapshot
SEGMENT = "/memfd:shoal (deleted)"  # what a descriptor of a segment links to

N = TypeVar("N", bound=NamedTuple)


class Source:
    """One node to look at."""

    def __init__(self, survey: Survey, link: Link, node_id: str, folder: str, silent: str = "") -> None:
        self._survey = survey
        self._link = link
        self.node_id = node_id
        self.folder = folder
        self._silent = silent  # why the daemon is not asked again
        self._is_warned = False

    def ask(self, message: Request[R], timeout_s: float | None = ANSWER_TIMEOUT_S) -> R | None:
        """The daemon's answer; None, with a warning the first time, if it gives none in time.

        Raises RequestRefused."""
        if not self._silent:
            try:
                return self._link.request(message, timeout_s)
            except TimeoutError:
                self._silent = f"it did not answer within {timeout_s:g} s: it is stopped, or very busy"
            except (NodeDiedError, NotConnectedError) as error:
                self._silent = str(error)
        if not self._is_warned:
            self._is_warned = True
            warnings.warn(
                f"The node's daemon gave no names ({self._silent}). What follows was read from shared memory alone: "
                "names, demands of resources and ended actors are missing.",
                IncompleteStateWarning,
                stacklevel=4,
            )
        return None

    def snapshot(self, *parts: str, timeout_s: float = ANSWER_TIMEOUT_S, is_named: bool = True) -> Snapshot:
        """Look at `parts`: tasks, objects or only those awaited, waiters, arguments, contents, pins.

        Clients and classes are looked at always.
        """
        survey = self._survey
        tables = self.ask(DescribeNode(), timeout_s) if is_named else None
        is_truncated = False

        def scan(read: Callable[[int], tuple[list[tuple[Any, ...]], int | None]], make: Callable[..., N]) -> list[N]:
            nonlocal is_truncated
            found: list[N] = []
            at: int | None = 0
            while at is not None:
                rows, at = read(at)
                found += [make(*row) for row in rows]
                if len(found) > MOST_RECORDS:
                    is_truncated = True
                    del found[MOST_RECORDS:]
                    break
            return found

        clients = {row[0]: ClientRecord(*row) for row in survey.clients()}
        classes = {row[0]: ClassRecord(*row) for row in survey.classes()}
        waiters = scan(survey.waiters, WaiterRecord) if "waiters" in parts else []
        found = scan(survey.tasks, TaskRecord) if "tasks" in parts else []
        tasks = [task for task in found if task.state != TASK_LOGGED]
        logged = [task for task in found if task.state == TASK_LOGGED]
        objects = scan(survey.objects, ObjectRecord) if "objects" in parts else []
        if "awaited" in parts:
            objects = _awaited(survey, tasks, list(clients.values()))
        store_claimed, store_limit = survey.store()
        return Snapshot(
            tasks=tasks,
            logged=logged,
            objects=objects,
            waiters=waiters,
            clients=clients,
            classes=classes,
            arguments={task.slot: survey.arguments(task.slot) for task in found} if "arguments" in parts else {},
            contents=_contents(survey, objects) if "contents" in parts else {},
            pins=_pins(survey, objects, list(clients)) if "pins" in parts else {},
            process_states={client.pid: process_state(client.pid) for client in clients.values()},
            tables=tables,
            node_id=self.node_id if tables is None else tables.node_id,
            now_ns=survey.now_ns,
            store_claimed=store_claimed,
            store_limit=store_limit,
            is_truncated=is_truncated,
        )


def _awaited(survey: Survey, tasks: Sequence[TaskRecord], clients: Sequence[ClientRecord]) -> list[ObjectRecord]:
    numbers = {task.awaits for task in tasks} | {client.awaits for client in clients}
    found = [
        ObjectRecord(*row)
        for number in numbers
        if number > AWAITS_SEVERAL
        for row in survey.objects(_index(number), 1)[0]
    ]
    return [record for record in found if record.object in numbers]


def _index(number: int) -> int:
    return number & 0xFFFFFFFF


def _contents(survey: Survey, objects: Sequence[ObjectRecord]) -> dict[int, list[int]]:
    return {found.object: survey.contents(found.object) for found in objects if found.value_flags & VALUE_HAS_REFS}


def _pins(survey: Survey, objects: Sequence[ObjectRecord], clients: Sequence[int]) -> dict[int, list[int]]:
    pins = {
        found.object: [client for client in clients if survey.is_pinned(client, found.object)]
        for found in objects
        if found.where > LOC_INLINE
    }
    return {number: pinned for number, pinned in pins.items() if pinned}


@contextmanager
def opened(address: str | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> Iterator[Source]:
    """The node at `address`: a path, or `auto` for this user's newest.

    None: the one that this process is connected to, else `SHOAL_ADDRESS`, else `auto`. A daemon that does not take an
    observer within `timeout_s` is not asked again. Raises NodeNotFoundError.
    """
    connection = runtime.connection
    if connection is not None and address in (None, connection.config.runtime_dir):
        yield Source(connection.survey(), connection.link, connection.node_id, connection.config.runtime_dir)
        return
    sock, path = connect_node(address or driver_config().address or AUTO, is_patient=False)
    try:
        peer = peer_of(sock)
        os.close(peer.pidfd)
        survey = _observe(peer.pid)
    except OSError as error:
        sock.close()
        raise NodeNotFoundError(f"the node at {path} cannot be looked at: {error}") from error
    link = Link(sock)
    try:
        node_id = os.path.basename(os.path.dirname(path))
        yield Source(survey, link, node_id, os.path.dirname(path), _introduce(link, timeout_s))
    finally:
        link.close()


def _observe(daemon_pid: int) -> Survey:
    """The segment of a daemon, mapped for reading. Raises OSError."""
    folder = f"/proc/{daemon_pid}/fd"
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(f"{folder}/{name}") != SEGMENT:
                continue
            fd = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return Survey(fd)
            except status.CoreError as error:
                raise OSError(str(error)) from error
            finally:
                os.close(fd)
    raise OSError(f"process {daemon_pid} has no segment: it starts or ends just now")


def _introduce(link: Link, timeout_s: float) -> str:
    """Be an observer. -> why not, if the daemon does not answer."""
    try:
        link.request(Observe(os.getpid()), timeout_s)
    except TimeoutError:
        return f"it did not answer within {timeout_s:g} s: it is stopped, or very busy"
    except (NodeDiedError, RequestRefused) as error:
        return str(error)
    return ""
