# SPDX-License-Identifier: Apache-2.0
"""What programs build on besides tasks, actors and objects.

`import shoal` imports this package and nothing below it: each name is loaded when it is first used, because most
programs use none. Other parts are imported by their own names: `shoal.util.queue`, `multiprocessing`, `joblib`, `dask`,
`state`, `metrics`, `collective`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.util.actor_pool import ActorPool as ActorPool
    from shoal.util.completion import as_completed as as_completed
    from shoal.util.completion import map_unordered as map_unordered
    from shoal.util.inspection import inspect_serializability as inspect_serializability
    from shoal.util.named_actors import list_named_actors as list_named_actors
    from shoal.util.placement_group import get_current_placement_group as get_current_placement_group
    from shoal.util.placement_group import get_placement_group as get_placement_group
    from shoal.util.placement_group import placement_group as placement_group
    from shoal.util.placement_group import placement_group_table as placement_group_table
    from shoal.util.placement_group import remove_placement_group as remove_placement_group
    from shoal.util.profiling import profile as profile
    from shoal.util.serialization import deregister_serializer as deregister_serializer
    from shoal.util.serialization import register_serializer as register_serializer

_HOMES = {
    "ActorPool": "actor_pool",
    "as_completed": "completion",
    "deregister_serializer": "serialization",
    "get_current_placement_group": "placement_group",
    "get_placement_group": "placement_group",
    "inspect_serializability": "inspection",
    "list_named_actors": "named_actors",
    "map_unordered": "completion",
    "placement_group": "placement_group",
    "placement_group_table": "placement_group",
    "profile": "profiling",
    "register_serializer": "serialization",
    "remove_placement_group": "placement_group",
}
"""Public name -> the module of this package that has it."""

__all__ = [
    "ActorPool",
    "as_completed",
    "deregister_serializer",
    "get_current_placement_group",
    "get_placement_group",
    "inspect_serializability",
    "list_named_actors",
    "map_unordered",
    "placement_group",
    "placement_group_table",
    "profile",
    "register_serializer",
    "remove_placement_group",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # a tenth of a millisecond

    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
