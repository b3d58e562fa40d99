# SPDX-License-Identifier: Apache-2.0
"""`shoal list`, `shoal get`, `shoal summary`."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.pyfront.cli.conftest import Done, run
from tests.util.waiting import Gate, Holder, eventually, hold

from shoal.util import placement_group
from shoal.util.state import list_tasks, list_workers

Shell = Callable[..., Done]


def test_list_tasks_as_a_table_and_as_json(shoal_node: ModuleType, gate: Gate, shell: Shell) -> None:
    first = hold.remote(gate.path)
    second = hold.remote(gate.path, first)
    eventually(lambda: sorted(row.state for row in list_tasks()) == ["PENDING_ARGS_AVAIL", "RUNNING"])
    heading, *rows = shell("list", "tasks").output.splitlines()
    assert heading.split()[:3] == ["task_id", "name", "state"]
    assert [row.split()[:3] for row in rows] == [
        [first.task_id().hex(), "hold", "RUNNING"],
        [second.task_id().hex(), "hold", "PENDING_ARGS_AVAIL"],
    ]
    as_json = shell("list", "tasks", "--json").json
    assert [row["state"] for row in as_json] == ["RUNNING", "PENDING_ARGS_AVAIL"]
    assert as_json[1]["waits_for"] == first.hex()
    assert as_json[0]["required_resources"] == {"CPU": 1.0}
    filtered = shell("list", "tasks", "--json", "--filter", "state=running", "-f", "name!=f", "--limit", "1").json
    assert [row["task_id"] for row in filtered] == [first.task_id().hex()]
    assert shell("list", "tasks", "-f", "name=nobody", "--json").json == []

    found = shell("get", "tasks", second.task_id().hex()[:20], "--json")
    assert (found.code, found.json["waits_for"]) == (0, first.hex())
    assert "waits_for" in shell("get", "tasks", second.task_id().hex()).output
    assert shell("summary", "tasks", "--json").json["summary"]["hold"]["state_counts"] == {
        "RUNNING": 1,
        "PENDING_ARGS_AVAIL": 1,
    }
    assert "RUNNING: 1, PENDING_ARGS_AVAIL: 1" in shell("summary", "tasks").output
    gate.open(2)
    shoal_node.get(second)


@pytest.mark.parametrize("noun", ["tasks", "actors", "objects", "workers", "nodes", "jobs", "placement-groups"])
def test_every_noun_is_listed_and_got(shoal_node: ModuleType, gate: Gate, shell: Shell, noun: str) -> None:
    holder = Holder.options(name="alice").remote()
    ref = holder.hold.remote(gate.path)
    placement_group([{"CPU": 1}])
    eventually(lambda: [row.state for row in list_tasks()] == ["RUNNING"])
    idle = [("worker_type", "=", "WORKER"), ("state", "=", "IDLE")]
    eventually(lambda: len(list_workers(filters=idle)) == 2)  # nobody comes or goes between two looks
    rows = shell("list", noun, "--json").json
    assert rows
    assert len(shell("list", noun).output.splitlines()) == 1 + len(rows)
    assert len(shell("list", noun, "--detail").output.splitlines()) == 1 + len(rows)
    row_id = rows[0][f"{noun[:-1].replace('-', '_')}_id"]
    assert set(shell("get", noun, row_id, "--json").json) == set(rows[0])
    gate.open()
    shoal_node.get(ref)


def test_placement_groups_are_counted(shoal_node: ModuleType, shell: Shell) -> None:
    placement_group([{"CPU": 1}], strategy="SPREAD")
    assert shell("summary", "placement-groups", "--json").json["total_placement_groups"] == 1
    assert "CREATED: 1" in shell("summary", "placement-groups").output


@pytest.mark.parametrize("noun", ["actors", "objects"])
def test_summaries(shoal_node: ModuleType, shell: Shell, noun: str) -> None:
    holder = Holder.remote()
    shoal_node.get(holder.pid.remote())
    # The result's reference is let go of a moment after it was dropped.
    eventually(lambda: shell("summary", noun, "--json").json[f"total_{noun}"] == 1)
    assert ("Holder" if noun == "actors" else f"DRIVER {os.getpid()}") in shell("summary", noun).output


def test_what_is_not_there_is_an_error_and_wrong_use_another(shell: Shell) -> None:
    nothing = shell("get", "tasks", "nobody")
    assert (nothing.code, nothing.output) == (1, "")
    assert "there is no task nobody now; `shoal list tasks` shows what there is" in nothing.errors
    ambiguous = shell("get", "workers", "0")
    assert ambiguous.code == 1
    assert "is the beginning of" in ambiguous.errors
    for wrong in (
        ["list", "things"],
        ["list", "tasks", "--filter", "state"],
        ["list", "tasks", "--filter", "colour=red"],
        ["list", "tasks", "--limit", "0"],
        ["get", "tasks"],
    ):
        assert shell(*wrong).code == 2, wrong


def test_without_a_node_every_command_says_so(tmp_path: Path) -> None:
    for command in (["status"], ["list", "tasks"], ["get", "jobs", "1"], ["summary", "actors"], ["why"]):
        done = run(*command, XDG_RUNTIME_DIR=str(tmp_path))
        assert (done.code, done.output) == (1, ""), command
        assert "no node of this user runs here" in done.errors
        assert run(*command, "--address", str(tmp_path / "none")).code == 1
