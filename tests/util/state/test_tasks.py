# SPDX-License-Identifier: Apache-2.0
"""`list_tasks`: each state that a task can be seen in."""

import os
from types import ModuleType

from tests.util.waiting import Gate, Holder, eventually, hold

from shoal.util.state import TaskState, get_task, list_tasks, summarize_tasks


def states() -> dict[str, str]:
    """State of each task by the end of its id."""
    return {task.task_id: task.state for task in list_tasks()}


def test_running_waiting_and_queued_tasks(shoal_node: ModuleType, gate: Gate) -> None:
    running = [hold.remote(gate.path) for _ in range(2)]
    waiting = hold.remote(gate.path, running[0])
    queued = hold.remote(gate.path)
    ids = [ref.task_id().hex() for ref in [*running, waiting, queued]]
    wanted = ["RUNNING", "RUNNING", "PENDING_ARGS_AVAIL", "PENDING_NODE_ASSIGNMENT"]
    eventually(lambda: [states().get(task_id) for task_id in ids] == wanted)

    row = get_task(ids[2])
    assert row is not None
    assert (row.name, row.type, row.attempt_number) == ("hold", "NORMAL_TASK", 0)
    assert row.waits_for == running[0].hex()
    assert row.worker_pid is None
    assert row.required_resources == {"CPU": 1.0}
    first = get_task(ids[0])
    assert first is not None
    assert first.start_time_ms is not None
    gate.open(4)
    assert first.worker_pid == shoal_node.get(running[0])
    shoal_node.get([waiting, queued])
    shoal_node.get(running[1])
    eventually(lambda: list_tasks() == [])
    assert get_task(ids[0]) is None


def test_calls_of_an_actor(shoal_node: ModuleType, gate: Gate) -> None:
    task = hold.remote(gate.path)
    holder = Holder.options(name="h").remote()
    calls = [holder.get.remote([task]), holder.pid.remote()]
    ids = [ref.task_id().hex() for ref in calls]
    eventually(
        lambda: (
            [states().get(task_id) for task_id in ids]
            == ["RUNNING_IN_RAY_GET", "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY"]
        )
    )
    rows = {row.task_id: row for row in list_tasks(filters=[("type", "=", "actor_task")], detail=True)}
    assert set(rows) == set(ids)
    assert rows[ids[0]].name == "Holder.get"
    assert rows[ids[0]].waits_for == task.hex()
    assert rows[ids[0]].actor_id == rows[ids[1]].actor_id
    summary = summarize_tasks()["cluster"]
    assert summary["summary"]["Holder.get"]["state_counts"] == {"RUNNING_IN_RAY_GET": 1}
    assert (summary["total_tasks"], summary["total_actor_tasks"]) == (1, 2)
    gate.open()
    shoal_node.get(calls)


def test_a_task_sees_itself_and_who_called_it(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    def look() -> tuple[str | None, list[TaskState]]:
        return shoal_node.get_runtime_context().get_task_id(), list_tasks()

    own, rows = shoal_node.get(look.remote())
    assert [(row.task_id, row.name, row.state) for row in rows] == [(own, "look", "RUNNING")]
    assert rows[0].worker_pid != os.getpid()


def test_a_driver_that_waits_for_several(shoal_node: ModuleType, gate: Gate) -> None:
    @shoal_node.remote
    def wait_for(refs: list[object]) -> int:
        ready, _ = shoal_node.wait(refs, num_returns=2)
        return len(ready)

    refs = [hold.remote(gate.path)]
    refs.append(hold.options(num_cpus=0).remote(gate.path))
    waiter = wait_for.options(num_cpus=0).remote(refs)
    eventually(lambda: states().get(waiter.task_id().hex()) == "RUNNING_IN_RAY_WAIT")
    gate.open(2)
    assert shoal_node.get(waiter) == 2
