# SPDX-License-Identifier: Apache-2.0
"""Placement groups: bundles of resources that a node sets aside, all of them or none (docs/placement.md).

Names, arguments and defaults are Ray's. What runs in a group gets its resources from the group's bundles, and
nobody else does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from shoal import runtime
from shoal._core._node import ObjectRef
from shoal.errors import PlacementGroupSchedulingError
from shoal.group_calls import create_group, find_groups, remove_group, wait_for_group
from shoal.ids import PlacementGroupID
from shoal.protocol.placement import CreateGroup, GroupRow
from shoal.remote_function import RemoteFunction
from shoal.runtime_context import get_runtime_context
from shoal.task.bundles import check_bundles, check_group_strategy
from shoal.task.options import DETACHED, LIFETIMES, TaskOptions
from shoal.task.place import check_labels, selector_rules
from shoal.task.strategies import PlacementGroupSchedulingStrategy

ID_BYTES = 16
LONGEST_WAIT_S = 1e9


class PlacementGroup:
    """A placement group, by its `id`. Copies mean the same group; dropping one does not remove it.

    Made by `placement_group()`, and by the functions that find one. `bundle_cache`: its bundles; default: the node is
    asked for them."""

    def __init__(self, id: PlacementGroupID, bundle_cache: Sequence[Mapping[str, float]] | None = None) -> None:
        self.id = id
        self._bundles = None if bundle_cache is None else [dict(bundle) for bundle in bundle_cache]

    @staticmethod
    def empty() -> PlacementGroup:
        """The group that is none: what is to run in it runs anywhere."""
        return PlacementGroup(PlacementGroupID.nil(), [])

    @property
    def is_empty(self) -> bool:
        """Whether this is none."""
        return self.id.is_nil()

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """The bundles, in their order. Raises PlacementGroupSchedulingError if the node does not know the group."""
        if self._bundles is None:
            self._bundles = _row(self.id).bundles
        return [dict(bundle) for bundle in self._bundles]

    @property
    def bundle_count(self) -> int:
        """How many bundles there are."""
        return len(self.bundle_specs)

    def ready(self) -> ObjectRef[PlacementGroup]:
        """A ref that is resolved, to the group, when its resources are set aside.

        `get` of it raises TaskPlacementGroupRemoved if the group is removed before. Raises that at once if it was
        removed.
        """
        return _ready.options(scheduling_strategy=PlacementGroupSchedulingStrategy(self)).remote(self)

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Whether the group's resources are set aside, after waiting for them at most `timeout_seconds` (default 30).

        Raises PlacementGroupSchedulingError if it was removed, ValueError for a negative time."""
        if not timeout_seconds >= 0:
            raise ValueError(f"timeout_seconds must be zero or more, not {timeout_seconds}")
        link = runtime.current().link
        return wait_for_group(link, self.id.hex(), min(float(timeout_seconds), LONGEST_WAIT_S))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return "PlacementGroup.empty()" if self.is_empty else f"PlacementGroup({self.id.hex()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return PlacementGroup, (self.id, self._bundles)


def _itself(group: PlacementGroup) -> PlacementGroup:
    return group


_ready = RemoteFunction(_itself, TaskOptions(num_cpus=0, name="placement_group.ready"))
"""Runs in the group that it is about, so it begins when that has its resources."""


def placement_group(
    bundles: Sequence[Mapping[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
    bundle_label_selector: Sequence[Mapping[str, str]] | None = None,
) -> PlacementGroup:
    """Ask for bundles of resources to be set aside, and return at once: `ready()` and `wait()` say when they are.

    - `bundles`: amounts by kind, "CPU", "GPU", "memory" (bytes) and custom ones.
    - `strategy`: "PACK" (the default) for as few nodes as will do, "STRICT_PACK" for one, "SPREAD" for as many as there
      are, "STRICT_SPREAD" for one each.
    - `name`: to find it by in this job's namespace; default none.
    - `lifetime`: "detached" to outlive this job; by default the group is removed with it.
    - `bundle_label_selector`: for each bundle, what the labels of its node must be; default anything.

    Warns with InfeasibleResourcesWarning if no node can ever grant it. Raises PlacementGroupSchedulingError (a
    ValueError) if the name is taken, TypeError or ValueError for a bad argument.
    """
    checked = check_bundles(bundles)
    selectors = list(bundle_label_selector or [])
    if selectors and len(selectors) != len(checked):
        raise ValueError(f"bundle_label_selector is for {len(selectors)} bundles, and there are {len(checked)}")
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    if lifetime not in LIFETIMES:
        raise ValueError(f"lifetime must be {DETACHED!r} or None, not {lifetime!r}")
    asked = CreateGroup(
        id=os.urandom(ID_BYTES).hex(),
        bundles=checked,
        strategy=check_group_strategy(strategy),
        name=name,
        is_detached=lifetime == DETACHED,
        rules=[list(selector_rules(check_labels("bundle_label_selector", selector))) for selector in selectors],
    )
    create_group(runtime.current().link, asked)
    return PlacementGroup(PlacementGroupID.from_hex(asked.id), checked)


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """End `placement_group`: its tasks and actors are ended, and its resources are free for others when they have.

    Their refs raise TaskPlacementGroupRemoved and ActorPlacementGroupRemoved. Of a group that is gone: no effect.
    Raises TypeError for anything else."""
    remove_group(runtime.current().link, _checked(placement_group).id.hex())


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """The group called `placement_group_name` in this job's namespace.

    Raises PlacementGroupSchedulingError (a ValueError) if there is none, ValueError for an empty name, TypeError for
    what is no string."""
    if not isinstance(placement_group_name, str):
        raise TypeError(f"a placement group's name is a string, not {placement_group_name!r}")
    if not placement_group_name:
        raise ValueError("a placement group's name is a non-empty string, not ''")
    here = runtime.current()
    rows = find_groups(here.link, name=placement_group_name)
    if not rows:
        raise PlacementGroupSchedulingError(
            f"no placement group is called {placement_group_name!r} in namespace {here.namespace!r}: make it first, "
            "with this name, or give init() the namespace of the driver that did"
        )
    return PlacementGroup(PlacementGroupID.from_hex(rows[0].id), rows[0].bundles)


def get_current_placement_group() -> PlacementGroup | None:
    """The group that the running task, or this actor, is in; None outside of one, and in a driver."""
    group_id = get_runtime_context().get_placement_group_id()
    return None if group_id is None else PlacementGroup(PlacementGroupID.from_hex(group_id))


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """What the node knows of `placement_group`, removed or not: an empty dict if nothing. None, the default: of all
    groups, by id. Raises TypeError for what is no group."""
    here = runtime.current()
    group_id = "" if placement_group is None else _checked(placement_group).id.hex()
    table = {row.id: _entry(row, here.node_id) for row in find_groups(here.link, group_id)}
    return table if placement_group is None else table.get(group_id, {})


def _entry(row: GroupRow, node_id: str) -> dict[str, Any]:
    is_created, milliseconds = row.state == row.CREATED, row.waited_s * 1000
    waits = "INFEASIBLE" if row.shortage else "QUEUED"
    return {
        "placement_group_id": row.id,
        "name": row.name,
        "bundles": dict(enumerate(row.bundles)),
        "bundles_to_node_id": dict.fromkeys(range(len(row.bundles)), node_id if is_created else ""),
        "strategy": row.strategy,
        "state": row.state,
        "stats": {
            "end_to_end_creation_latency_ms": milliseconds if is_created else 0.0,
            "scheduling_latency_ms": milliseconds if is_created else 0.0,
            "scheduling_state": "FINISHED" if is_created else row.state if row.end else waits,
        },
    }


def _row(id: PlacementGroupID) -> GroupRow:
    rows = find_groups(runtime.current().link, id.hex())
    if not rows:
        raise PlacementGroupSchedulingError(f"there is no placement group {id.hex()}: it was made by another node")
    return rows[0]


def _checked(group: object) -> PlacementGroup:
    if not isinstance(group, PlacementGroup):
        raise TypeError(f"this takes a PlacementGroup, not {type(group).__name__}")
    return group


class _Callable(ModuleType):
    """What `shoal.util.placement_group` is: this module, and the function, as in Ray."""

    __call__ = staticmethod(placement_group)


sys.modules[__name__].__class__ = _Callable
