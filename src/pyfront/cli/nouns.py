# SPDX-License-Identifier: Apache-2.0
"""`shoal list`, `shoal get` and `shoal summary`: the rows of `shoal.util.state` on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, NamedTuple

import typer

from shoal.cli.render import Address, AsJson, fail, failing, print_json, print_table


class Noun(str, Enum):
    """What there is to list."""

    tasks = "tasks"
    actors = "actors"
    objects = "objects"
    workers = "workers"
    nodes = "nodes"
    jobs = "jobs"
    placement_groups = "placement-groups"

    @property
    def plural(self) -> str:
        """As names of functions have it."""
        return self.value.replace("-", "_")


class Summed(str, Enum):
    """What there is to count."""

    tasks = "tasks"
    actors = "actors"
    objects = "objects"
    placement_groups = "placement-groups"


COLUMNS = {
    Noun.tasks: ("task_id", "name", "state", "worker_pid", "attempt_number", "waits_for"),
    Noun.actors: ("actor_id", "class_name", "name", "state", "pid", "n_running", "n_pending"),
    Noun.objects: ("object_id", "object_size", "state", "where", "reference_type", "task_status", "pid", "n_waiting"),
    Noun.workers: ("pid", "worker_type", "state", "task_name", "name", "n_completed", "busy_s"),
    Noun.nodes: ("node_id", "state", "node_name", "daemon_pid", "resources_total", "resources_available"),
    Noun.jobs: ("job_id", "status", "driver_pid", "driver_state", "n_workers", "n_tasks", "entrypoint"),
    Noun.placement_groups: ("placement_group_id", "name", "state", "strategy", "bundles", "is_detached", "reason"),
}
FILTER = re.compile(r"(\w+)\s*(!?=)\s*(.*)", re.DOTALL)


class Functions(NamedTuple):
    """What a noun's commands call."""

    list: Callable[..., list[Any]]
    get: Callable[..., Any]


def functions_of(noun: Noun) -> Functions:
    """The functions of `shoal.util.state` for a noun."""
    from shoal.util import state

    singular = noun.value if noun is Noun.objects else noun.plural[:-1]
    return Functions(getattr(state, f"list_{noun.plural}"), getattr(state, f"get_{singular}"))


def parse_filter(text: str) -> tuple[str, str, str]:
    """`state=RUNNING` or `name!=f`. Raises ValueError."""
    found = FILTER.fullmatch(text)
    if found is None:
        raise ValueError(f"a filter is FIELD=VALUE or FIELD!=VALUE, not {text!r}")
    return found[1], found[2], found[3]


def list_rows(
    noun: Annotated[Noun, typer.Argument(help="What to list.")],
    filter: Annotated[
        list[str] | None, typer.Option("--filter", "-f", help="FIELD=VALUE or FIELD!=VALUE; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The most rows.")] = 100,
    detail: Annotated[bool, typer.Option("--detail", help="All fields.")] = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """List what a node has and does now."""
    with failing():
        filters = [parse_filter(text) for text in filter or ()]
        rows = functions_of(noun).list(address, filters=filters, limit=limit, detail=detail or as_json)
    if as_json:
        print_json(rows)
        return
    columns = tuple(rows[0].keys()) if detail and rows else COLUMNS[noun]
    print_table(columns, ([row[column] for column in columns] for row in rows))


def get_row(
    noun: Annotated[Noun, typer.Argument(help="What kind of thing it is.")],
    id: Annotated[str, typer.Argument(help="Its id, or the beginning of it if that is unambiguous.")],
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Everything about one task, actor, object, worker, node, job or placement group."""
    with failing():
        rows = functions_of(noun).list(address, limit=10**9, detail=True)
    id_field = f"{noun.plural[:-1]}_id"
    found = [row for row in rows if row[id_field] == id] or [row for row in rows if row[id_field].startswith(id)]
    if not found:
        raise fail(f"there is no {noun.value[:-1]} {id} now; `shoal list {noun.value}` shows what there is")
    if len(found) > 1:
        raise fail(f"{id} is the beginning of {len(found)} {noun.value}; give more of it")
    if as_json:
        print_json(found[0])
    else:
        print_table(("field", "value"), found[0].asdict().items())


def summarize(
    noun: Annotated[Summed, typer.Argument(help="What to count.")], address: Address = None, as_json: AsJson = False
) -> None:
    """Count tasks by name, actors by class, objects by process, placement groups by strategy."""
    from shoal.util import state

    with failing():
        summary = getattr(state, f"summarize_{noun.value.replace('-', '_')}")(address)["cluster"]
    if as_json:
        print_json(summary)
        return
    if noun is Summed.objects:
        columns = ("process", "objects", "MB", "reference types")
        print_table(
            columns,
            (
                (name, entry["total_objects"], entry["total_size_mb"], entry["ref_type_counts"])
                for name, entry in summary["summary"].items()
            ),
        )
    else:
        print_table(("name", "states"), ((name, entry["state_counts"]) for name, entry in summary["summary"].items()))
