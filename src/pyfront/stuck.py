# SPDX-License-Identifier: Apache-2.0
"""What becomes of a get or wait that has been parked for a second, and then again and again: it is looked into.

One that can never end raises DeadlockError (`circles` finds out); a driver that waits while nothing moves is told why
(`hang_watch`). The waiting thread does both itself, so a wait that is short costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal._core import _node as core
from shoal._core._node import Client, Survey, Wait
from shoal.circles import Thing, Walk, walk
from shoal.errors import DeadlockError, ShoalError
from shoal.node_calls import NodeCalls
from shoal.protocol.tables import NodeTables
from shoal.task.names import TaskNames
from shoal.task.records import ClientRecord, TaskRecord

if TYPE_CHECKING:
    from shoal.hang_watch import Watch

ANSWER_TIMEOUT_S = 3.0  # of the daemon: it may be stopped, and the value may come


class StuckWaits:
    """The waits of one process. Called by the threads that wait."""

    def __init__(self, client: Client, calls: NodeCalls, watch: Watch | None = None) -> None:
        self._client = client
        self._calls = calls
        self._watch = watch

    def __call__(self, wait: Wait) -> DeadlockError | None:
        """The error to raise in a wait that can never end."""
        error = self._never_ending(wait) if wait.is_for_ever else None
        if error is None and self._watch is not None:
            self._watch(wait.began_ns)
        return error

    def _never_ending(self, wait: Wait) -> DeadlockError | None:
        survey = Survey(self._client)
        judgements: dict[int, str] = {}

        def is_impossible(class_id: int) -> bool:
            if class_id not in judgements:
                judgements[class_id] = self._judge(class_id)
            return bool(judgements[class_id])

        def look(*, is_strict: bool) -> Walk | None:
            return walk(survey, wait, self._client.index, is_impossible, is_strict=is_strict)

        if look(is_strict=False) is None or not wait.watch_all():
            return None
        first, second = look(is_strict=True), look(is_strict=True)
        if first is None or first != second:
            return None
        way = first.demand()
        if way:
            return _error_of_demand(_lines(survey, way, self._tables()), judgements[way[-1][1]])
        circle = first.circle()
        if circle and first.latest() == first.root:
            return _error_of_circle(_lines(survey, circle[:-1], self._tables()))
        return None

    def _judge(self, class_id: int) -> str:
        try:
            return self._calls.judge_demand(class_id, ANSWER_TIMEOUT_S)
        except (ShoalError, TimeoutError):
            return ""

    def _tables(self) -> NodeTables | None:
        try:
            return self._calls.tables(ANSWER_TIMEOUT_S)
        except (ShoalError, TimeoutError):
            return None


def _error_of_demand(chain: tuple[str, ...], judgement: str) -> DeadlockError:
    told = "".join(f"\n  {line}" for line in chain)
    error = DeadlockError(f"this wait can never end, for the node will never have what it takes:{told}\n{judgement}")
    error.chain = chain
    return error


def _error_of_circle(chain: tuple[str, ...]) -> DeadlockError:
    told = "".join(f"\n  {line}" for line in chain)
    error = DeadlockError(
        f"this wait can never end, for what it waits for waits for it:{told}\n"
        "Of these calls it began last, so it gets this error and the others go on. Let a call return refs instead of "
        "waiting for a call that needs its actor; or let the actor run several calls at a time, by max_concurrency or "
        "async methods."
    )
    error.chain = chain
    return error


def _lines(survey: Survey, way: list[Thing], tables: NodeTables | None) -> tuple[str, ...]:
    """A line for each process on the way, with what it waits for up to the next one."""
    names = TaskNames(tables)
    lines: list[str] = []
    for kind, number in way:
        if kind in ("wait", "client"):
            lines.append(f"{_process(survey, names, number) if kind == 'client' else 'this process'} waits for ")
        elif kind == "task":
            rows, _ = survey.tasks(number & 0xFFFFFFFF, 1)
            lines[-1] += _step(TaskRecord(*rows[0]), names) if rows else "a task that has just gone"
    return tuple(lines)


def _step(task: TaskRecord, names: TaskNames) -> str:
    name = names.of(task) or "a task"
    if task.state == core.TASK_WAITING:
        return f"{name}, which waits for its argument from "
    if task.state == core.TASK_RUNNING:
        return f"{name}, which runs"
    return f"{name}, which waits for {'its actor' if task.is_actor_call else 'resources'}"


def _process(survey: Survey, names: TaskNames, index: int) -> str:
    rows = survey.clients(index, 1)
    if not rows:
        return "a process that has just gone"
    client = ClientRecord(*rows[0])
    actor = names.actors.get(client.class_id) if client.role == core.ROLE_ACTOR else None
    who = "actor" if client.role == core.ROLE_ACTOR else "worker"
    if actor is not None:
        who = f"actor {actor.class_name}" + (f" {actor.name!r}" if actor.name else "")
    running, _ = survey.tasks(client.current & 0xFFFFFFFF, 1) if client.current else ([], None)
    call = names.of(TaskRecord(*running[0])) if running else None
    return f"{who} (pid {client.pid})" + (f", in {call}," if call else "")
