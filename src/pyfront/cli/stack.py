# SPDX-License-Identifier: Apache-2.0
"""`shoal stack`: what every process of a node runs, line by line.

py-spy reads a process from outside, so it sees one that is stuck in native code or stopped; it needs to be installed,
and the right to trace. Without it the processes are asked, and tell what their Python threads do.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.render import Address, AsJson, fail, failing, print_json

if TYPE_CHECKING:
    from shoal.util.state.source import Source

PY_SPY_LIMIT_S = 10.0


def stack(
    pid: Annotated[int, typer.Argument(help="Of one process; without it, all of the node.")] = 0,
    native: Annotated[bool, typer.Option("--native", help="Frames of C code too; needs py-spy.")] = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """The stacks of the node's processes: by py-spy where it is installed and may, else as they tell themselves."""
    from shoal.util.state.source import opened

    with failing(), opened(address) as source:
        found = stacks_of(source, pid, native=native)
    if not found:
        raise fail(f"the node has no process {pid}; `shoal list workers` shows what there is")
    if as_json:
        print_json(found)
    else:
        for one in found:
            typer.echo(text_of(one))


def stacks_of(source: Source, pid: int = 0, *, native: bool = False) -> list[dict[str, Any]]:
    """One row for each process of the node, or for one of them, with its stack or why there is none."""
    from shoal.node.processes import process_state
    from shoal.protocol.tables import CollectStacks
    from shoal.util.state.workers import worker_rows

    rows = [row for row in worker_rows(source.snapshot("tasks")) if row.pid and row.worker_type != "DAEMON"]
    rows = [row for row in rows if pid in (0, row.pid)]
    texts = {row.pid: text for row in rows if (text := py_spy(row.pid, native=native)) is not None}
    if len(texts) < len(rows):
        answer = source.ask(CollectStacks(pid))
        texts = (answer.texts if answer is not None else {}) | texts
    return [
        {
            "pid": row.pid,
            "type": row.worker_type,
            "name": row.name,
            "task": row.task_name,
            "state": row.state,
            "stack": texts.get(row.pid),
            "why_not": None if row.pid in texts else why_silent(process_state(row.pid)),
        }
        for row in rows
    ]


def text_of(one: dict[str, Any]) -> str:
    """One process's part of the page."""
    names = " ".join(str(part) for part in (one["type"].lower(), one["pid"], one["name"]) if part)
    task = f" runs {one['task']}" if one["task"] else ""
    return f"== {names} ({one['state']}){task}\n{(one['stack'] or one['why_not']).rstrip()}\n"


def why_silent(state: str) -> str:
    """Why a process told nothing."""
    if not state:
        return "It is gone."
    if state in "Tt":
        return "It is stopped by a signal or a debugger: `kill -CONT` lets it go on."
    return (
        "It did not answer: native code keeps the interpreter, or the daemon does not answer. py-spy could tell more."
    )


def py_spy(pid: int, *, native: bool) -> str | None:
    """What py-spy sees; None if it is not installed or may not look."""
    program = shutil.which("py-spy")
    if program is None:
        return None
    command = [program, "dump", "--pid", str(pid), *(["--native"] if native else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PY_SPY_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
