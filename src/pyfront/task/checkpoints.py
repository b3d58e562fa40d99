# SPDX-License-Identifier: Apache-2.0
"""Which actors can have checkpoints (`checkpoint_every`). Pure."""

from __future__ import annotations

from shoal.task.actor_shape import ActorShape
from shoal.task.options import ActorOptions

HOOKS = {"checkpoint": "checkpoint(self), which returns the state", "restore": "restore(self, state)"}
STREAMING = "streaming"


def check_checkpoints(cls: type, options: ActorOptions, shape: ActorShape, *, is_async: bool) -> None:
    """Raises TypeError for a class without the hooks, ValueError for an actor whose calls cannot be repeated."""
    name = cls.__qualname__
    for hook, what in HOOKS.items():
        if hook not in shape.methods:
            raise TypeError(f"checkpoint_every needs two methods, and {name} has no {what}")
    if not options.max_restarts:
        raise ValueError(f"checkpoint_every is for restarts: give {name} max_restarts, -1 for any number of them")
    overlapping = "async methods" if is_async else "max_concurrency" if (options.max_concurrency or 1) > 1 else ""
    overlapping = "concurrency groups" if options.concurrency_groups else overlapping
    if overlapping:
        raise ValueError(
            f"checkpoint_every needs calls that run one at a time, in an order that can be repeated, and {name} has "
            f"{overlapping}"
        )
    for method, found in shape.methods.items():
        if found.num_returns == STREAMING:
            raise ValueError(
                f"checkpoint_every: {name}.{method} is a generator, whose items go to its consumer while it runs, and "
                "cannot be repeated after a restart; let it return a list"
            )
