# SPDX-License-Identifier: Apache-2.0
"""Everything about a node that helps who is told of a defect, as files of text.

Left out: values, arguments, the pickles of functions, and what the environment says; of the environment the names of
Shoal's own variables are told, as far as they are set.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from typing import Any

import msgspec

from shoal._core._node import system_info
from shoal.protocol.tables import DescribeHoldings, ReadOutput
from shoal.util.state.actors import actor_rows
from shoal.util.state.audit import audit
from shoal.util.state.holders import held_objects
from shoal.util.state.jobs import job_rows
from shoal.util.state.nodes import node_rows
from shoal.util.state.objects import object_rows
from shoal.util.state.reasons import explain
from shoal.util.state.snapshot import Snapshot
from shoal.util.state.source import Source
from shoal.util.state.tasks import task_rows
from shoal.util.state.workers import worker_rows
from shoal.version import __version__

MOST_ROWS = 10_000  # of one kind
MOST_LINES = 5_000  # of what workers printed
PARTS = ("tasks", "objects", "waiters", "arguments", "contents", "pins")
PACKAGES = ("cloudpickle", "msgspec", "numpy", "psutil", "rich", "typer", "xxhash", "py-spy")

KINDS: Mapping[str, Callable[[Snapshot], Iterable[Any]]] = {
    "tasks": lambda snapshot: task_rows(snapshot, time.time_ns()),
    "actors": actor_rows,
    "objects": object_rows,
    "workers": worker_rows,
    "nodes": node_rows,
    "jobs": job_rows,
}


def node_report(source: Source, environ: Mapping[str, str], *, has_output: bool) -> dict[str, str]:
    """File name -> text. `has_output`: with the newest lines that workers printed."""
    first = source.snapshot(*PARTS)
    holdings = source.ask(DescribeHoldings())
    second = source.snapshot(*PARTS)
    files = {
        "versions.json": _json(versions()),
        "node.json": _json(_node(second, environ)),
        "held_objects.json": _json(_some(held_objects(second, None if holdings is None else holdings.rows))),
        "why.txt": "".join(f"{line}\n" for reason in explain(second) for line in reason.lines()) or "Nothing waits.\n",
        "audit.txt": "".join(f"{line}\n" for line in audit(first, second)) or "Nothing is odd.\n",
    }
    files |= {f"{kind}.json": _json(_some(rows(second))) for kind, rows in KINDS.items()}
    output = source.ask(ReadOutput(most=MOST_LINES)) if has_output else None
    if output is not None:
        files["output.txt"] = "".join(
            f"{line.pid} {line.name or '-'} {'err' if line.is_stderr else 'out'}: {line.text}\n"
            for line in output.lines
        )
    return files


def versions() -> dict[str, Any]:
    """Of Shoal, of what it stands on, and of the machine."""
    return {
        "shoal": __version__,
        "core": system_info(),
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _node(snapshot: Snapshot, environ: Mapping[str, str]) -> dict[str, Any]:
    tables = snapshot.tables
    return {
        "node_id": snapshot.node_id,
        "unix_time": time.time(),
        "has_daemon_answered": tables is not None,
        "resources_total": None if tables is None else tables.total,
        "resources_available": None if tables is None else tables.available,
        "counters": None if tables is None else tables.counters,
        "impossible_demands": None if tables is None else tables.impossible,
        "store_claimed_bytes": snapshot.store_claimed,
        "store_limit_bytes": snapshot.store_limit,
        "is_truncated": snapshot.is_truncated,
        "process_states": snapshot.process_states,
        "variables_set_here": sorted(name for name in environ if name.startswith("SHOAL_")),
    }


def _some(rows: Iterable[Any]) -> list[Any]:
    return [row for row, _ in zip(rows, range(MOST_ROWS), strict=False)]


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"
