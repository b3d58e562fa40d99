# SPDX-License-Identifier: Apache-2.0
"""`list_workers`: each process, and what it does."""

import os
import signal
from types import ModuleType

import pytest
from tests.util.waiting import Gate, Holder, eventually, hold

from shoal.util.state import WorkerState, get_worker, list_workers


def state_of(pid: int) -> str:
    return next((row.state for row in list_workers() if row.pid == pid), "gone")


def of_type(name: str) -> list[WorkerState]:
    return list_workers(filters=[("worker_type", "=", name)])


def test_the_processes_of_a_node(shoal_node: ModuleType, gate: Gate) -> None:
    holder = Holder.options(name="alice").remote()
    pid = shoal_node.get(holder.pid.remote())
    ref = hold.remote(gate.path)
    eventually(lambda: sorted(row.state for row in of_type("WORKER")) == ["IDLE", "RUNNING"])
    eventually(lambda: state_of(pid) == "IDLE")
    assert [row.pid for row in of_type("DRIVER")] == [os.getpid()]
    assert len(of_type("DAEMON")) == 1
    (actor,) = of_type("ACTOR")
    assert (actor.pid, actor.name, actor.job_id, actor.n_completed) == (pid, "alice", "00000001", 2)
    (busy,) = list_workers(filters=[("task_name", "=", "hold")], detail=True)
    assert busy == get_worker(busy.worker_id)
    gate.open()
    assert shoal_node.get(ref) == busy.pid


@pytest.mark.parametrize("method", ["hold", "get"])
def test_a_stopped_process_is_told_from_one_that_waits(shoal_node: ModuleType, gate: Gate, method: str) -> None:
    holder = Holder.remote()
    pid = shoal_node.get(holder.pid.remote())
    task = hold.remote(gate.path)
    ref = holder.hold.remote(gate.path) if method == "hold" else holder.get.remote([task])
    before = "RUNNING" if method == "hold" else "IN_GET"
    eventually(lambda: state_of(pid) == before)
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: state_of(pid) == "STOPPED")
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: state_of(pid) == before)
    gate.open(2)
    shoal_node.get([ref, task])
