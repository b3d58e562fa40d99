# SPDX-License-Identifier: Apache-2.0
"""What the processes of a node did, as events of the Chrome trace format, which Perfetto and chrome://tracing open.

Read from the files of `shoal.tracing`, so it works while everything hangs, and knows processes that are gone.
"""

from __future__ import annotations

import json
import os
import struct
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from shoal._core import _node as core
from shoal.errors import IncompleteStateWarning
from shoal.ids import CONSTRUCTOR_KEY, method_key
from shoal.protocol.tables import DescribeNode, NodeTables
from shoal.task.actor_shape import calls_of
from shoal.task.names import shape_of
from shoal.tracing import EVENT_BYTES, PREFIX
from shoal.util.state.source import ANSWER_TIMEOUT_S, opened

HEAD = struct.Struct("=QIIQ40x")  # sh_trace_head: magic, event_bytes, capacity, x_count
EVENT = struct.Struct("=IIII16s16s4QQ40s")  # sh_trace_event
MAGIC = 0x31454341525453
ROLES = {core.ROLE_DRIVER: "driver", core.ROLE_WORKER: "worker", core.ROLE_ACTOR: "actor"}
ENDS = {
    core.TRACE_RETURNED: "returned",
    core.TRACE_RAISED: "raised",
    core.TRACE_CANCELLED: "cancelled",
    core.TRACE_RETRIED: "retried",
}
PHASES = ("load arguments", "run", "store results")
COLOURS = {"raised": "terrible", "cancelled": "bad", "retried": "bad"}

TraceEvent = dict[str, Any]


class Event(NamedTuple):
    """One record of a process's trace."""

    kind: int  # TRACE_*
    end: int
    class_id: int
    attempt: int
    task: bytes
    function: bytes
    at_ns: tuple[int, int, int, int]
    thread: int
    name: str


class ProcessTrace(NamedTuple):
    """One process's events, the oldest first."""

    pid: int
    role: int
    events: list[Event]


def timeline(filename: str | None = None, address: str | None = None) -> list[TraceEvent] | None:
    """What the node's processes did, as Chrome trace events: tasks and calls with their phases, submissions, spans.

    `filename`: write them there as JSON, for https://ui.perfetto.dev, and return None; else they are returned. A node
    that does not trace has none, and IncompleteStateWarning says so. Raises NodeNotFoundError, OSError."""
    with opened(address) as source:
        traces = list(read_traces(source.folder))
        tables = source.ask(DescribeNode(), ANSWER_TIMEOUT_S)
    if not traces:
        warnings.warn(
            "this node does not trace, so its timeline is empty: start it with shoal.init(tracing=True), or the "
            "program with SHOAL_TRACING=1 in its environment",
            IncompleteStateWarning,
            stacklevel=2,
        )
    events = trace_events(traces, tables, time.time_ns() - time.monotonic_ns())
    if filename is None:
        return events
    with open(filename, "w") as file:
        json.dump(events, file)
    return None


def read_traces(folder: str) -> Iterator[ProcessTrace]:
    """The traces in a node's folder."""
    for name in sorted(os.listdir(folder)):
        parts = name.removeprefix(PREFIX).split("-")
        if name.startswith(PREFIX) and len(parts) == 4:
            # A file that its process has just made is empty.
            with suppress(OSError, ValueError, struct.error), open(os.path.join(folder, name), "rb", 0) as file:
                yield ProcessTrace(int(parts[3]), int(parts[0]), list(parse(file)))


def parse(file: Any) -> Iterator[Event]:
    """The events in a trace, without those that may have been written over while it was read."""
    magic, event_bytes, capacity, count = HEAD.unpack(file.read(HEAD.size))
    if magic != MAGIC or event_bytes != EVENT_BYTES or not capacity:
        return
    data = file.read(min(count, capacity) * event_bytes)
    file.seek(0)
    _, _, _, count_after = HEAD.unpack(file.read(HEAD.size))
    for number in range(max(0, count - capacity, count_after - capacity + 1), count):
        at = number % capacity * event_bytes
        kind, end, class_id, attempt, task, function, *times, thread, name = EVENT.unpack_from(data, at)
        text = name.rstrip(b"\0").decode("utf-8", "replace")
        yield Event(
            kind, end, class_id, attempt, task, function, (times[0], times[1], times[2], times[3]), thread, text
        )


def trace_events(traces: Iterable[ProcessTrace], tables: NodeTables | None, wall_ns: int) -> list[TraceEvent]:
    """All traces as one list. `wall_ns`: Unix time less the monotonic clock. Pure."""
    traces = list(traces)
    names = _Names(tables)
    submitted = {
        event.task: event.at_ns[0] for trace in traces for event in trace.events if event.kind == core.TRACE_SUBMITTED
    }
    made: list[TraceEvent] = []
    for trace in traces:
        made += _about(trace, names)
        for event in trace.events:
            made += _shown(trace, event, names, submitted, wall_ns)
    return made


def _about(trace: ProcessTrace, names: _Names) -> Iterator[TraceEvent]:
    role = ROLES.get(trace.role, "process")
    actor = next((found for event in trace.events if (found := names.actor(event))), "") if role == "actor" else ""
    name = f"{role} {actor}".rstrip() + f" (pid {trace.pid})"
    yield {"ph": "M", "name": "process_name", "pid": trace.pid, "tid": 0, "args": {"name": name}}
    order = {"driver": 0, "worker": 1}.get(role, 2)
    yield {"ph": "M", "name": "process_sort_index", "pid": trace.pid, "tid": 0, "args": {"sort_index": order}}


def _shown(
    trace: ProcessTrace, event: Event, names: _Names, submitted: Mapping[bytes, int], wall_ns: int
) -> Iterator[TraceEvent]:
    def micros(at_ns: int) -> float:
        return (at_ns + wall_ns) / 1000

    place = {"pid": trace.pid, "tid": event.thread}
    begin_ns, end_ns = event.at_ns[0], event.at_ns[3]
    if event.kind == core.TRACE_SPAN:
        duration = (event.at_ns[1] - begin_ns) / 1000
        yield {"ph": "X", "name": event.name, "cat": "user", "ts": micros(begin_ns), "dur": duration, **place}
    elif event.kind == core.TRACE_SUBMITTED:
        arguments: dict[str, Any] = {"task_id": event.task.hex()}
        name = f"submit {names.of(event)}"
        yield {"ph": "i", "s": "t", "name": name, "cat": "submit", "ts": micros(begin_ns), "args": arguments, **place}
    elif event.kind == core.TRACE_RAN:
        end = ENDS.get(event.end, "ended")
        arguments = {"task_id": event.task.hex(), "attempt": event.attempt, "end": end}
        asked_ns = submitted.get(event.task)
        if asked_ns is not None:
            arguments |= {"submitted": micros(asked_ns), "waited_us": (begin_ns - asked_ns) / 1000}
        shown = {"ph": "X", "name": names.of(event), "cat": "task", "ts": micros(begin_ns), "args": arguments, **place}
        shown["dur"] = (end_ns - begin_ns) / 1000
        if end in COLOURS:
            shown["cname"] = COLOURS[end]
        yield shown
        times = [at_ns for at_ns in event.at_ns if at_ns]
        if len(times) == len(event.at_ns):
            for phase, first_ns, last_ns in zip(PHASES, times, times[1:], strict=False):
                duration = (last_ns - first_ns) / 1000
                yield {"ph": "X", "name": phase, "cat": "phase", "ts": micros(first_ns), "dur": duration, **place}


class _Names:
    """What the daemon calls functions, actors and methods; those of ended actors too."""

    def __init__(self, tables: NodeTables | None) -> None:
        self._functions: Mapping[bytes, str] = {} if tables is None else tables.functions
        self._calls: dict[tuple[int, bytes], str] = {}
        self._actors: dict[int, str] = {}
        for row in sorted(() if tables is None else tables.actors, key=lambda row: row.is_alive):
            self._actors[row.class_id] = f"{row.class_name} {row.name!r}" if row.name else row.class_name
            for call, name, _ in calls_of(shape_of(row)):
                self._calls[row.class_id, method_key(call)] = f"{row.class_name}.{name}"
            self._calls[row.class_id, CONSTRUCTOR_KEY] = f"{row.class_name}.__init__"

    def of(self, event: Event) -> str:
        return (
            self._functions.get(event.function)
            or self._calls.get((event.class_id, event.function))
            or event.function.hex()[:16]
        )

    def actor(self, event: Event) -> str:
        return self._actors.get(event.class_id, "") if event.kind == core.TRACE_RAN else ""
