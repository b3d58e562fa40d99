# SPDX-License-Identifier: Apache-2.0
"""What programs build on besides tasks, actors and objects.

`import shoal` imports this package and nothing below it: each name is loaded when it is first used, because most
programs use none. Other parts are imported by their own names: `shoal.util.queue`, `multiprocessing`, `joblib`, `dask`,
`state`, `metrics`, `collective`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.util.actor_pool import ActorPool as ActorPool
    from shoal.util.completion import as_completed as as_completed
    from shoal.util.completion import map_unordered as map_unordered
    from shoal.util.inspection import inspect_serializability as inspect_serializability
    from shoal.util.named_actors import list_named_actors as list_named_actors
    from shoal.util.profiling import profile as profile
    from shoal.util.serialization import deregister_serializer as deregister_serializer
    from shoal.util.serialization import register_serializer as register_serializer

_HOMES = {
    "ActorPool": "actor_pool",
    "as_completed": "completion",
    "deregister_serializer": "serialization",
    "inspect_serializability": "inspection",
    "list_named_actors": "named_actors",
    "map_unordered": "completion",
    "profile": "profiling",
    "register_serializer": "serialization",
}
"""Public name -> the module of this package that has it."""

__all__ = [
    "ActorPool",
    "as_completed",
    "deregister_serializer",
    "inspect_serializability",
    "list_named_actors",
    "map_unordered",
    "profile",
    "register_serializer",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
