# SPDX-License-Identifier: Apache-2.0
"""The timeline: what is in it, and that it is of the Chrome trace format."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import shoal
from shoal._core import _node as core
from shoal.util import profile
from shoal.util.state.timeline import EVENT, HEAD, MAGIC, ProcessTrace, parse, read_traces, trace_events

PHASES = {"X", "M", "i"}
S = 10**9


def check_format(events: list[dict[str, Any]]) -> None:
    """What the Trace Event Format says of the events that we make."""
    json.dumps(events, allow_nan=False)
    for event in events:
        assert event["ph"] in PHASES
        assert isinstance(event["name"], str)
        assert event["name"]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "process_sort_index")
            assert event["args"]
            continue
        assert event["ts"] > 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
        else:
            assert event["s"] in ("g", "p", "t")


def packed(*events: bytes, count: int | None = None, capacity: int = 4) -> io.BytesIO:
    data = b"".join(events).ljust(capacity * EVENT.size, b"\0")
    return io.BytesIO(HEAD.pack(MAGIC, EVENT.size, capacity, len(events) if count is None else count) + data)


def ran(number: int, end: int = core.TRACE_RETURNED) -> bytes:
    times = [S * number + at for at in (0, 1000, 5000, 6000)]
    return EVENT.pack(core.TRACE_RAN, end, 7, 0, bytes([number]) * 16, b"f" * 16, *times, 99, b"")


def test_a_ring_that_went_round_gives_the_events_that_are_left() -> None:
    assert [event.at_ns[0] // S for event in parse(packed(ran(1), ran(2)))] == [1, 2]
    went_round = packed(ran(5), ran(6), ran(3), ran(4), count=6)
    assert [event.at_ns[0] // S for event in parse(went_round)] == [4, 5, 6]  # the next write goes where 3 is
    assert list(parse(io.BytesIO(HEAD.pack(MAGIC + 1, EVENT.size, 4, 1)))) == []
    assert list(parse(io.BytesIO(HEAD.pack(MAGIC, EVENT.size + 8, 4, 1)))) == []


def test_a_file_that_was_made_just_now_has_no_events_yet(tmp_path: Path) -> None:
    (tmp_path / "trace-2-1-1-77").touch()
    (tmp_path / "trace-2-2-1-78").write_bytes(HEAD.pack(MAGIC, EVENT.size, 4, 2))  # and one that was cut off
    assert [trace.pid for trace in read_traces(str(tmp_path))] == []


def test_phases_and_the_time_in_the_queue() -> None:
    asked = EVENT.pack(core.TRACE_SUBMITTED, 0, 7, 0, bytes([1]) * 16, b"f" * 16, S - 2000, 0, 0, 0, 98, b"")
    driver = ProcessTrace(10, core.ROLE_DRIVER, list(parse(packed(asked))))
    worker = ProcessTrace(11, core.ROLE_WORKER, list(parse(packed(ran(1), ran(2, core.TRACE_RAISED)))))
    events = trace_events([driver, worker], None, wall_ns=1000 * S)
    check_format(events)
    shown = [event for event in events if event.get("cat") == "task"]
    assert [event["args"]["end"] for event in shown] == ["returned", "raised"]
    assert (shown[0]["ts"], shown[0]["dur"], shown[0]["pid"], shown[0]["tid"]) == (1001 * 1e6, 6.0, 11, 99)
    assert shown[0]["args"]["waited_us"] == 2.0
    assert "waited_us" not in shown[1]["args"]
    phases = [(event["name"], event["dur"]) for event in events if event.get("cat") == "phase"][:3]
    assert phases == [("load arguments", 1.0), ("run", 4.0), ("store results", 1.0)]


@pytest.fixture
def traced_node() -> Iterator[ModuleType]:
    shoal.init(num_cpus=2, tracing=True)
    yield shoal
    shoal.shutdown()


@shoal.remote
def double(n: int) -> int:
    with profile("doubling"):
        return 2 * n


@shoal.remote
def fail() -> None:
    raise ValueError("no")


@shoal.remote
class Counter:
    def __init__(self) -> None:
        self.n = 0

    def add(self, n: int) -> int:
        self.n += n
        return self.n


def test_tasks_actors_and_spans_of_a_node(traced_node: ModuleType, tmp_path: Path) -> None:
    counter = Counter.options(name="tally").remote()
    with profile("the driver's own"):
        assert shoal.get([double.remote(n) for n in range(5)]) == [0, 2, 4, 6, 8]
        assert shoal.get(counter.add.remote(double.remote(3))) == 6
    with pytest.raises(ValueError, match="no"):
        shoal.get(fail.remote())
    path = tmp_path / "timeline.json"
    assert shoal.timeline(str(path)) is None
    events = json.loads(path.read_text())
    check_format(events)
    tasks = [event for event in events if event.get("cat") == "task"]
    assert sorted(event["name"] for event in tasks) == ["Counter.__init__", "Counter.add", *["double"] * 6, "fail"]
    assert {event["args"]["end"] for event in tasks if event["name"] == "fail"} == {"raised"}
    for event in tasks:
        assert event["args"]["waited_us"] > 0
        assert event["args"]["submitted"] < event["ts"]
        assert event["pid"] != os.getpid()
    submits = [event for event in events if event.get("cat") == "submit"]
    assert sorted(event["name"] for event in submits) == sorted(f"submit {event['name']}" for event in tasks)
    assert {event["pid"] for event in submits} == {os.getpid()}
    spans = [event for event in events if event.get("cat") == "user"]
    assert sorted(event["name"] for event in spans) == [*["doubling"] * 6, "the driver's own"]
    (whole,) = [event for event in spans if event["pid"] == os.getpid()]
    doubles = [event for event in tasks if event["name"] == "double"]
    assert all(whole["ts"] < event["ts"] < whole["ts"] + whole["dur"] for event in doubles)
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert any(name.startswith("actor Counter 'tally' (pid ") for name in names)
    assert f"driver (pid {os.getpid()})" in names
    assert shoal.timeline() is not None


def test_a_node_that_does_not_trace_has_none(shoal_node: ModuleType) -> None:
    with profile("nothing"):
        assert shoal.get(double.remote(1)) == 2
    with pytest.warns(shoal.IncompleteStateWarning, match="tracing=True"):
        assert shoal.timeline() == []
