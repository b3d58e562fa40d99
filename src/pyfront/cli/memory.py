# SPDX-License-Identifier: Apache-2.0
"""`shoal memory`: what fills the store, and who keeps it there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from shoal.cli.render import Address, AsJson, failing, print_json, print_table, size


def memory(
    limit: Annotated[int, typer.Option(min=1, help="The most objects, the largest first.")] = 30,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Who holds which object: processes, views, arguments of tasks, other objects."""
    from shoal.util.state import list_held_objects

    with failing():
        rows = sorted(list_held_objects(address), key=lambda row: -row.object_size)
    processes = list(by_process(rows))
    if as_json:
        print_json({"objects": rows[:limit], "processes": processes, "total_objects": len(rows)})
        return
    print_table(
        ("process", "pid", "objects", "bytes"),
        ((row["name"], row["pid"], row["n_objects"], size(row["n_bytes"])) for row in processes),
        title="Held by references and views",
    )
    is_recorded = any(row.made_at is not None for row in rows)
    print_table(
        ("object_id", "size", "state", "where", "held by", "pid", "count", *(["made at"] if is_recorded else [])),
        (line if is_recorded else line[:-1] for row in rows[:limit] for line in lines_of(row)),
        title=f"{min(limit, len(rows)):,} of {len(rows):,} objects",
    )


def lines_of(row: Any) -> Iterable[tuple[object, ...]]:
    """One line for each holder, the object on the first, with the line that made it at the end."""
    made_at = row.made_at or ""
    if not row.holders:
        yield row.object_id, size(row.object_size), row.state, row.where, "nobody: it is being freed", "", "", made_at
    for number, holder in enumerate(row.holders):
        what = (row.object_id, size(row.object_size), row.state, row.where) if number == 0 else ("", "", "", "")
        who = f"{holder.kind.lower()} of {holder.name}" + (f" {holder.id[:16]}" if holder.id else "")
        yield *what, who, holder.pid or "", holder.count, made_at if number == 0 else ""


def by_process(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """How many objects, of how many bytes, each process keeps; the most bytes first. One object counts for several."""
    held: dict[int, dict[str, Any]] = {}
    for row in rows:
        for pid, name in {
            holder.pid: holder.name for holder in row.holders if holder.kind in ("REFERENCE", "VIEW")
        }.items():
            entry = held.setdefault(pid, {"name": name, "pid": pid, "n_objects": 0, "n_bytes": 0})
            entry["n_objects"] += 1
            entry["n_bytes"] += row.object_size
    return sorted(held.values(), key=lambda entry: -entry["n_bytes"])
