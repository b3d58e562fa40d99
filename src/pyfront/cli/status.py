# SPDX-License-Identifier: Apache-2.0
"""`shoal status`: one page about a node."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import typer

from shoal.cli.render import Address, AsJson, failing, print_json, print_table, size


def status(address: Address = None, as_json: AsJson = False) -> None:
    """What the node has, what is in use, and what waits."""
    from shoal.util.state.source import opened

    with failing():
        with opened(address) as source:
            snapshot = source.snapshot("tasks")
        found = page(snapshot)
    if as_json:
        print_json(found)
        return
    state = "alive" if found["is_alive"] else "its daemon does not answer"
    since = f", for {found['uptime_s']:.0f} s" if found["is_alive"] else ""
    typer.echo(f"Node {found['node_id']}: {state}{since}, daemon {found['daemon_pid']}")
    resources = found["resources"]
    print_table(
        ("resource", "used", "total"),
        (
            (name, *(size(value) if name == "memory" else f"{value:g}" for value in (row["used"], row["total"])))
            for name, row in resources.items()
        ),
    )
    store = found["store"]
    typer.echo(f"Store: {size(store['used'])} in use of {size(store['total'])}, {size(store['spilled'])} on disk")
    for title in ("processes", "tasks"):
        counts = ", ".join(f"{n} {name}" for name, n in found[title].items()) or "none"
        typer.echo(f"{title.capitalize()}: {counts}")
    for demand in found["demands"]:
        wanted = ", ".join(f"{name}: {value:g}" for name, value in demand["resources"].items())
        note = f" {demand['impossible']}" if demand["impossible"] else ""
        typer.echo(f"Waiting: {demand['n']} x {{{wanted}}}{note}")


def page(snapshot: Any) -> dict[str, Any]:
    """The numbers of the page. Pure but for the clock."""
    from shoal._core import _node as core
    from shoal.util.state.objects import ROLES
    from shoal.util.state.tasks import state_of

    tables = snapshot.tables
    daemon = snapshot.clients.get(0)
    queued = Counter(
        task.class_id for task in snapshot.tasks if task.state == core.TASK_READY and not task.is_actor_call
    )
    total = {} if tables is None else tables.total
    available = {} if tables is None else tables.available
    counters = {} if tables is None else tables.counters
    impossible = {} if tables is None else tables.impossible
    return {
        "node_id": snapshot.node_id,
        "is_alive": tables is not None,
        "uptime_s": 0.0 if tables is None else time.time() - tables.started_s,
        "daemon_pid": 0 if daemon is None else daemon.pid,
        "resources": {
            name: {"used": max(0.0, amount - available.get(name, 0.0)), "total": amount}
            for name, amount in total.items()
        },
        "store": {
            "used": int(counters.get("live_bytes", 0)),
            "total": snapshot.store_limit if tables is None else tables.store_bytes,
            "spilled": int(counters.get("spilled_bytes", 0)),
        },
        "processes": Counter(ROLES[client.role].lower() for client in snapshot.clients.values()),
        "tasks": Counter(state_of(snapshot, task, snapshot.clients.get(task.who)) for task in snapshot.tasks),
        "demands": [
            {"n": n, "resources": snapshot.resources_of(class_id), "impossible": impossible.get(class_id, "")}
            for class_id, n in queued.items()
        ],
    }
