# SPDX-License-Identifier: Apache-2.0
"""What users say about where a call should run: the values of `scheduling_strategy`. Pure; see `place` for their
meaning.

Public as `shoal.util.scheduling_strategies`; the names and signatures are Ray's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

DEFAULT, SPREAD = "DEFAULT", "SPREAD"


class Group(Protocol):
    """What a strategy wants of a placement group (shoal.util.placement_group.PlacementGroup)."""

    id: Any

    @property
    def is_empty(self) -> bool: ...
    @property
    def bundle_count(self) -> int: ...


class PlacementGroupSchedulingStrategy:
    """Run in a placement group, on the resources that it holds.

    - `placement_group`: None for none, which keeps a call out of the group that its caller runs in.
    - `placement_group_bundle_index`: which bundle, from 0; default -1, any that has room.
    - `placement_group_capture_child_tasks`: whether what the call itself submits runs in the group too, unless it says
      otherwise; default None: as its caller's own children are treated, and in a driver no.

    Raises TypeError for a value of another type, ValueError for an index below -1.
    """

    def __init__(
        self,
        placement_group: Group | None,
        placement_group_bundle_index: int = -1,
        placement_group_capture_child_tasks: bool | None = None,
    ) -> None:
        if placement_group is not None and not hasattr(type(placement_group), "bundle_count"):
            raise TypeError(f"placement_group must be a PlacementGroup or None, not {type(placement_group).__name__}")
        index = placement_group_bundle_index
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"placement_group_bundle_index must be an integer, not {type(index).__name__}")
        captures = placement_group_capture_child_tasks
        if not (captures is None or isinstance(captures, bool)):
            raise TypeError(f"placement_group_capture_child_tasks must be True, False or None, not {captures!r}")
        if index < -1:
            raise ValueError(f"placement_group_bundle_index={index}: it is the number of a bundle, or -1 for any")
        if placement_group is not None and not placement_group.is_empty and index >= placement_group.bundle_count:
            raise ValueError(
                f"placement_group_bundle_index={index}: the group has {placement_group.bundle_count} bundles, numbered "
                "from 0"
            )
        self.placement_group = placement_group
        self.placement_group_bundle_index = index
        self.placement_group_capture_child_tasks = captures

    def __repr__(self) -> str:
        return (
            f"PlacementGroupSchedulingStrategy({self.placement_group!r}, {self.placement_group_bundle_index}, "
            f"{self.placement_group_capture_child_tasks})"
        )


class NodeAffinitySchedulingStrategy:
    """Run on the node whose id is `node_id`, as `shoal.nodes()` gives it.

    `soft`: elsewhere if that node is not there; without it such a call raises TaskUnschedulableError or
    ActorUnschedulableError. Raises TypeError for an id that is no string, ValueError for an empty one.
    """

    def __init__(self, node_id: str, soft: bool) -> None:
        if not isinstance(node_id, str):
            raise TypeError(f"node_id must be the id of a node, a string, not {type(node_id).__name__}")
        if not node_id:
            raise ValueError("node_id must not be empty: take one of shoal.nodes()")
        self.node_id = node_id
        self.soft = bool(soft)

    def __repr__(self) -> str:
        return f"NodeAffinitySchedulingStrategy({self.node_id!r}, soft={self.soft})"


class _Among:
    """A label's value, and what it is compared with. Raises ValueError without any, TypeError for no string."""

    def __init__(self, *values: str) -> None:
        if not values:
            raise ValueError(f"{type(self).__name__} needs a value at least")
        for value in values:
            if not isinstance(value, str):
                raise TypeError(f"the values of labels are strings, not {type(value).__name__}")
        self.values = list(values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"


class In(_Among):
    """The node has the label, with one of these `values`. Raises ValueError without any, TypeError for no string."""


class NotIn(_Among):
    """The node does not have the label with one of these `values`. Raises as `In`."""


class _Bare:
    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Exists(_Bare):
    """The node has the label, whatever its value."""


class DoesNotExist(_Bare):
    """The node does not have the label."""


LabelMatch = In | NotIn | Exists | DoesNotExist
"""What may be said about one label."""


class NodeLabelSchedulingStrategy:
    """Run on a node whose labels match.

    `hard`: label -> In, NotIn, Exists or DoesNotExist; without a node that fits all of them the call waits, and
    InfeasibleResourcesWarning says so. `soft`: likewise, those that are better if there is a choice. Both are empty by
    default. Raises TypeError for anything else, ValueError if both are empty.
    """

    def __init__(
        self, hard: Mapping[str, LabelMatch] | None = None, *, soft: Mapping[str, LabelMatch] | None = None
    ) -> None:
        self.hard = _checked_matches("hard", hard)
        self.soft = _checked_matches("soft", soft)
        if not (self.hard or self.soft):
            raise ValueError("NodeLabelSchedulingStrategy needs a label in `hard` or in `soft`")

    def __repr__(self) -> str:
        return f"NodeLabelSchedulingStrategy({self.hard!r}, soft={self.soft!r})"


def _checked_matches(name: str, matches: Mapping[str, LabelMatch] | None) -> dict[str, LabelMatch]:
    if matches is None:
        return {}
    if not isinstance(matches, Mapping):
        raise TypeError(f"{name} must be a dict of labels, not {type(matches).__name__}")
    for label, match in matches.items():
        if not isinstance(label, str):
            raise TypeError(f"a label is named by a string, not {type(label).__name__}")
        if not isinstance(match, (In, NotIn, Exists, DoesNotExist)):
            raise TypeError(f"{name}[{label!r}] must be In, NotIn, Exists or DoesNotExist, not {match!r}")
    return dict(matches)


SchedulingStrategy = (
    str | PlacementGroupSchedulingStrategy | NodeAffinitySchedulingStrategy | NodeLabelSchedulingStrategy | None
)
"""What `scheduling_strategy=` takes."""
