# SPDX-License-Identifier: Apache-2.0
"""`ray.remote`: Shoal's, and for classes the three methods that every actor of Ray has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shoal import api
from shoal.actor_exit import exit_actor


def remote(*args: Any, **options: Any) -> Any:
    """Make a function a task, or a class an actor: as `shoal.remote`.

    Actors have besides `__ray_ready__`, `__ray_call__` and `__ray_terminate__`. Raises as `shoal.remote`."""
    made = api.remote(*map(_with_methods, args), **options)
    return made if args else lambda target: made(_with_methods(target))


def _with_methods(target: Any) -> Any:
    """A class with what every actor has; anything else as it is."""
    if not isinstance(target, type):
        return target
    namespace = {"__module__": target.__module__, "__qualname__": target.__qualname__, "__doc__": target.__doc__}
    return type(target)(target.__name__, (target,), {**namespace, **METHODS})


def _ready(self: object) -> bool:
    """True as soon as the actor has been made."""
    return True


def _call(self: object, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run `function(actor, *args, **kwargs)` in the actor."""
    return function(self, *args, **kwargs)


def _terminate(self: object) -> None:
    """End the actor, after the calls before this one."""
    exit_actor()


METHODS: dict[str, Callable[..., Any]] = {
    "__ray_ready__": _ready,
    "__ray_call__": _call,
    "__ray_terminate__": _terminate,
}
