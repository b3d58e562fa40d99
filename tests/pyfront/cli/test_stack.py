# SPDX-License-Identifier: Apache-2.0
"""`shoal stack`: told by the processes, or by py-spy."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.pyfront.cli.conftest import Done
from tests.util.waiting import Gate, Holder, eventually, stop

from shoal.util.state import list_tasks

Shell = Callable[..., Done]


@pytest.fixture
def without_py_spy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs of the machine may have one."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_every_process_tells_what_it_runs_unless_it_is_stopped(
    shoal_node: ModuleType, gate: Gate, without_py_spy: None, shell: Shell
) -> None:
    holder = Holder.options(name="alice").remote()
    pid = shoal_node.get(holder.pid.remote())
    ref = holder.hold.remote(gate.path)
    eventually(lambda: [row.state for row in list_tasks()] == ["RUNNING"])
    rows: dict[int, dict[str, str]] = {}

    def have_told() -> bool:  # who is slow to answer is not waited for
        rows.update({row["pid"]: row for row in shell("stack", "--json").json if row["stack"]})
        return len(rows) == 4

    eventually(have_told)
    assert {row["type"] for row in rows.values()} == {"DRIVER", "WORKER", "ACTOR"}
    assert (rows[pid]["name"], rows[pid]["task"]) == ("alice", "Holder.hold")
    assert "pipe.read(1)" in rows[pid]["stack"]
    assert "test_every_process_tells" in rows[os.getpid()]["stack"]
    stop(pid)
    try:
        text = shell("stack", str(pid)).output
    finally:
        os.kill(pid, signal.SIGCONT)
    assert text.startswith(f"== actor {pid} alice (STOPPED) runs Holder.hold\nIt is stopped by a signal")
    gate.open()
    shoal_node.get(ref)


def test_a_process_that_is_not_of_the_node(shell: Shell) -> None:
    done = shell("stack", "1")
    assert (done.code, done.output) == (1, "")
    assert "the node has no process 1" in done.errors


def test_py_spy_is_asked_first(
    shoal_node: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    program = tmp_path / "py-spy"
    program.write_text('#!/bin/sh\n[ "$3" = "$WANTED" ] || exit 1\necho "seen $*"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("WANTED", str(os.getpid()))
    stacks: dict[str, str] = {}

    def have_told() -> bool:
        rows = shell("stack", "--native", "--json").json
        stacks.update({row["type"]: row["stack"] for row in rows if row["stack"]})
        return len(stacks) == 2

    eventually(have_told)
    assert stacks["DRIVER"] == f"seen dump --pid {os.getpid()} --native\n"
    assert stacks["WORKER"].startswith("Thread MainThread:")  # where it may not look, the process is asked
