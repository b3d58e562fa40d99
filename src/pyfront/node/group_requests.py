# SPDX-License-Identifier: Apache-2.0
"""What clients may ask about placement groups, one method each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shoal.node.connections import Connection
from shoal.node.groups import Groups
from shoal.node.jobs import Job
from shoal.node.placing import Placing
from shoal.node.refusal import Refusal
from shoal.protocol import groups as g
from shoal.protocol.conversation import Reply
from shoal.protocol.messages import Refused

WARNING = "The {group} can not be placed: {shortage}. It waits, and so does what is to run in it."


class GroupRequests:
    """Answers for one node."""

    def __init__(self, groups: Groups, placing: Placing) -> None:
        self._groups = groups
        self._placing = placing

    def handlers(self) -> Mapping[type, Callable[[Connection, Any], Awaitable[Reply]]]:
        """By type of request."""
        return {
            g.CreateGroup: self._create,
            g.RemoveGroup: self._remove,
            g.WaitForGroup: self._wait,
            g.FindGroups: self._find,
            g.DescribePlace: self._describe_place,
        }

    async def _create(self, asker: Connection, message: g.CreateGroup) -> g.GroupMade:
        group = self._groups.create(job_of(asker), message)
        shortage = group.shortage.rstrip(".")
        return g.GroupMade(WARNING.format(group=group, shortage=shortage) if shortage else None)

    async def _remove(self, asker: Connection, message: g.RemoveGroup) -> g.GroupGone:
        self._groups.remove(message.id, f"by remove_placement_group() in pid {asker.pid}")
        self._placing.forget(message.id)
        return g.GroupGone()

    async def _wait(self, asker: Connection, message: g.WaitForGroup) -> g.GroupWaited:
        return g.GroupWaited(await self._groups.wait(message.id, message.timeout_s))

    async def _find(self, asker: Connection, message: g.FindGroups) -> g.GroupRows:
        namespace = message.namespace or job_of(asker).namespace if message.name else ""
        return g.GroupRows(self._groups.find(message.id, message.name, namespace))

    async def _describe_place(self, asker: Connection, message: g.DescribePlace) -> g.ClassPlace:
        return self._placing.describe(message.class_id)


def job_of(asker: Connection) -> Job:
    """The job of a client. Raises Refusal if it has ended."""
    if asker.job is None:
        raise Refusal(Refused.STOPPING, "this client's job has ended")
    return asker.job
