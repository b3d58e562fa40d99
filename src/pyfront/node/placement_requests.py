# SPDX-License-Identifier: Apache-2.0
"""What clients may ask about placement groups, one method each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shoal.node.connections import Connection
from shoal.node.jobs import Job
from shoal.node.placement_groups import PlacementGroups
from shoal.node.placing import Placing
from shoal.node.refusal import Refusal
from shoal.protocol import placement as p
from shoal.protocol.conversation import Reply
from shoal.protocol.messages import Refused

WARNING = "The {group} can not be placed: {shortage}. It waits, and so does what is to run in it."


class PlacementRequests:
    """Answers for one node."""

    def __init__(self, groups: PlacementGroups, placing: Placing) -> None:
        self._groups = groups
        self._placing = placing

    def handlers(self) -> Mapping[type, Callable[[Connection, Any], Awaitable[Reply]]]:
        """By type of request."""
        return {
            p.CreateGroup: self._create,
            p.RemoveGroup: self._remove,
            p.WaitForGroup: self._wait,
            p.FindGroups: self._find,
            p.DescribePlace: self._describe_place,
        }

    async def _create(self, asker: Connection, message: p.CreateGroup) -> p.GroupMade:
        group = self._groups.create(job_of(asker), message)
        shortage = group.shortage.rstrip(".")
        return p.GroupMade(WARNING.format(group=group, shortage=shortage) if shortage else None)

    async def _remove(self, asker: Connection, message: p.RemoveGroup) -> p.GroupGone:
        self._groups.remove(message.id, f"by remove_placement_group() in pid {asker.pid}")
        self._placing.forget(message.id)
        return p.GroupGone()

    async def _wait(self, asker: Connection, message: p.WaitForGroup) -> p.GroupWaited:
        return p.GroupWaited(await self._groups.wait(message.id, message.timeout_s))

    async def _find(self, asker: Connection, message: p.FindGroups) -> p.GroupRows:
        namespace = message.namespace or job_of(asker).namespace if message.name else ""
        return p.GroupRows(self._groups.find(message.id, message.name, namespace))

    async def _describe_place(self, asker: Connection, message: p.DescribePlace) -> p.ClassPlace:
        return self._placing.describe(message.class_id)


def job_of(asker: Connection) -> Job:
    """The job of a client. Raises Refusal if it has ended."""
    if asker.job is None:
        raise Refusal(Refused.STOPPING, "this client's job has ended")
    return asker.job
