# SPDX-License-Identifier: Apache-2.0
"""Where rows come from: another process, a node that is named, a daemon that does not answer."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from tests.util.waiting import Gate, eventually, hold, stop

import shoal
from shoal.util.state import list_actors, list_nodes, list_tasks, list_workers
from shoal.util.state.source import opened

LIMIT_S = 40.0
PROCESSES = ["DAEMON", "DRIVER", "WORKER", "WORKER"]  # of a node with two CPUs, once its workers have come
LOOK = """
import json, sys
from shoal.util.state import list_tasks, list_workers
address, timeout = sys.argv[1], float(sys.argv[2])
tasks = [(row.name, row.state, row.worker_pid) for row in list_tasks(address, timeout=timeout)]
print(json.dumps([tasks, [row.worker_type for row in list_workers(address, timeout=timeout)]]))
"""


def look(address: object, timeout_s: float = LIMIT_S) -> tuple[list[list[object]], list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(address), str(timeout_s)],
        check=True,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
    )
    tasks, types = json.loads(done.stdout)
    return tasks, types, done.stderr


def is_at_rest() -> bool:
    """One task runs, and nobody comes or goes."""
    states = sorted(row.state for row in list_workers())
    return [row.state for row in list_tasks()] == ["RUNNING"] and states == ["IDLE", "RUNNING", "RUNNING", "RUNNING"]


def test_another_process_sees_the_same_and_leaves_no_trace(shoal_node: ModuleType, gate: Gate) -> None:
    ref = hold.remote(gate.path)
    eventually(is_at_rest)
    folder = list_nodes(detail=True)[0].runtime_dir
    tasks, types, _ = look(folder)
    gate.open()
    assert tasks == [["hold", "RUNNING", shoal_node.get(ref)]]
    assert types == PROCESSES  # no driver, and no workers for one, because somebody looked


def test_while_the_daemon_is_stopped_the_records_are_readable(shoal_node: ModuleType, gate: Gate) -> None:
    ref = hold.remote(gate.path)
    eventually(is_at_rest)
    node = list_nodes(detail=True)[0]
    daemon = psutil.Process(node.daemon_pid)
    stop(daemon.pid)
    try:
        with pytest.warns(shoal.IncompleteStateWarning, match="it did not answer within 0.2 s"):
            (task,) = list_tasks(timeout=0.2)
        assert (task.name, task.state) == (None, "RUNNING")
        with pytest.warns(shoal.IncompleteStateWarning):
            assert list_nodes(timeout=0.2)[0].state == "UNRESPONSIVE"
        tasks, types, said = look(node.runtime_dir, 0.2)
        assert [row[:2] for row in tasks] == [[None, "RUNNING"]]
        assert types == PROCESSES
        assert "IncompleteStateWarning" in said
        assert "it did not answer within 0.2 s" in said
    finally:
        daemon.resume()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", shoal.IncompleteStateWarning)  # until it answers
        eventually(lambda: list_tasks()[0].name == "hold")
    gate.open()
    shoal_node.get(ref)


def test_a_worker_that_is_stopped_keeps_nobody_from_looking(shoal_node: ModuleType, gate: Gate) -> None:
    ref = hold.remote(gate.path)
    eventually(is_at_rest)
    pid = list_tasks()[0].worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert [row.state for row in list_tasks()] == ["RUNNING"]
        eventually(lambda: [row.state for row in list_workers() if row.pid == pid] == ["STOPPED"])
    finally:
        os.kill(pid, signal.SIGCONT)
    gate.open()
    assert shoal_node.get(ref) == pid


def test_no_node_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(shoal.NodeNotFoundError, match="no node of this user runs here"):
        list_actors()
    with pytest.raises(shoal.NodeNotFoundError, match="no node answers at"):
        list_actors(address=str(tmp_path / "nowhere"))


def test_an_observer_may_change_nothing(shoal_node: ModuleType, tmp_path: Path) -> None:
    from shoal.link import RequestRefused
    from shoal.protocol.messages import KillActor

    folder = Path(str(list_nodes(detail=True)[0].runtime_dir))
    other = tmp_path / "node"
    other.symlink_to(folder)  # by another name it is not known as our own node
    with opened(str(other)) as source, pytest.raises(RequestRefused, match="an observer may look and change nothing"):
        source.ask(KillActor(class_id=0))


def test_a_great_many_tasks_are_read_while_they_change(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    def nothing(i: int) -> int:
        return i

    refs = [nothing.remote(i) for i in range(20_000)]
    while len(shoal_node.wait(refs, num_returns=len(refs), timeout=0)[1]):
        for row in list_tasks(limit=30_000):
            assert row.name == "nothing"
    assert shoal_node.get(refs[-1]) == 19_999
