# SPDX-License-Identifier: Apache-2.0
"""What a client asks its daemon about placement groups, as functions: messages in, values and public exceptions out."""

from __future__ import annotations

import warnings

from shoal.errors import InfeasibleResourcesWarning, NodeStoppingError, PlacementGroupSchedulingError, ShoalError
from shoal.link import Link, RequestRefused
from shoal.protocol.conversation import R, Request
from shoal.protocol.messages import Refused
from shoal.protocol.placement import CreateGroup, FindGroups, GroupRow, RemoveGroup, WaitForGroup

CALLER_DEPTH = 3  # frames from the warning up to the line that called `placement_group()`
REFUSALS: dict[str, type[ShoalError]] = {Refused.STOPPING: NodeStoppingError}


def create_group(link: Link, asked: CreateGroup) -> None:
    """Make a group. Broken off anywhere, there is none. Warns (InfeasibleResourcesWarning) if it can never be placed.

    Raises PlacementGroupSchedulingError if its name is taken."""
    try:
        warning = _ask(link, asked).warning
        if warning is not None:
            warnings.warn(warning, InfeasibleResourcesWarning, stacklevel=CALLER_DEPTH)
    except BaseException:  # Ctrl-C, or a warning that is an error: nobody has the group
        link.tell(RemoveGroup(asked.id))
        raise


def remove_group(link: Link, group_id: str) -> None:
    """End a group and what runs in it."""
    _ask(link, RemoveGroup(group_id))


def wait_for_group(link: Link, group_id: str, timeout_s: float) -> bool:
    """Whether a group has its resources in time. Raises PlacementGroupSchedulingError if it is removed."""
    return _ask(link, WaitForGroup(group_id, timeout_s)).is_created


def find_groups(link: Link, group_id: str = "", name: str = "", namespace: str | None = None) -> list[GroupRow]:
    """One group, by its id or its name, or all."""
    return _ask(link, FindGroups(group_id, name, namespace)).rows


def _ask(link: Link, message: Request[R]) -> R:
    try:
        return link.request(message)
    except RequestRefused as refused:
        raise REFUSALS.get(refused.kind, PlacementGroupSchedulingError)(str(refused)) from None
