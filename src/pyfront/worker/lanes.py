# SPDX-License-Identifier: Apache-2.0
"""Concurrency groups: which of an actor's claimed calls may run now. Pure; whoever uses it keeps threads apart.

One lane for each group, and one for the calls of no group. A lane lets so many calls overlap and keeps the others in
the order in which they were claimed, which is each caller's own. No lane waits for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from shoal._core._node import Task


class Lanes:
    """`default`: calls of no group that may overlap; `groups`: of each group."""

    def __init__(self, default: int, groups: Mapping[str, int]) -> None:
        self.width = default + sum(groups.values())  # calls of all groups that may overlap
        self._free: dict[str | None, int] = {None: default}
        self._free.update(groups)
        self._waiting: dict[str | None, deque[Task]] = {group: deque() for group in self._free}

    def enter(self, group: str | None, task: Task) -> bool:
        """Whether the call may start now; if not, `leave` gives it out when its turn has come."""
        if self._free[group] == 0:
            self._waiting[group].append(task)
            return False
        self._free[group] -= 1
        return True

    def give_up(self, is_given_up: Callable[[Task], bool]) -> None:
        """Forget those of the calls that wait which the caller of this gives up."""
        for waiting in self._waiting.values():
            kept = [task for task in waiting if not is_given_up(task)]
            waiting.clear()
            waiting.extend(kept)

    def leave(self, group: str | None) -> Task | None:
        """A call of this group has ended -> the one that starts in its place."""
        waiting = self._waiting[group]
        if waiting:
            return waiting.popleft()
        self._free[group] += 1
        return None
