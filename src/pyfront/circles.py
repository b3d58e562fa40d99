# SPDX-License-Identifier: Apache-2.0
"""Whether a wait can ever end: a walk over the records that it hangs on. Reads shared memory only.

From the wait the walk follows every thing that must happen first: an object must be resolved by its task; a task must
get its argument, be taken by its actor, or go on in the process that runs it; a process that runs one call at a time
must come back from the wait that it is parked in. What could move by itself ends the walk: then this is no deadlock. If
the walk ends without having met such a thing, nothing in it will ever move.

Guarantees: two walks that found the same, one after the other, found what was true all at once in between, since no
record that they read returns to what it was (a wait is named by when it began, a record by its generation). Every
process of a circle that looks at it finds the same circle. See docs/design/035.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shoal._core import _node as core
from shoal._core._node import Survey, Wait
from shoal.task.records import ClassRecord, ClientRecord, ObjectRecord, TaskRecord

MOST_THINGS = 10_000  # in one walk; a longer one is given up

Thing = tuple[str, int]
"""wait 0 (one that nothing waits for), client, object, task, or demand (of a class)."""


@dataclass
class Walk:
    """All that a wait hangs on, and that none of it can move."""

    root: Thing
    leads_to: dict[Thing, tuple[Thing, ...]] = field(default_factory=dict)
    records: dict[Thing, object] = field(default_factory=dict)
    """What was read of each: equal in two walks, if it did not change in between."""

    def path(self, first: Thing, is_last: Callable[[Thing], bool], *, is_direct: bool = False) -> list[Thing]:
        """The shortest way from `first` to another thing or back to it, or nothing; `is_direct`: through no process."""
        before: dict[Thing, Thing] = {}
        todo = deque([first])
        while todo:
            at = todo.popleft()
            for thing in self.leads_to[at]:
                if thing in before:
                    continue
                before[thing] = at
                if is_last(thing):
                    return _unwound(before, first, thing)
                if not (is_direct and thing[0] == "client"):
                    todo.append(thing)
        return []

    def circle(self) -> list[Thing]:
        """The circle that the wait is in, from it to it, if an error in it would let all the rest go on; else empty."""
        backwards: dict[Thing, list[Thing]] = {}
        for thing, following in self.leads_to.items():
            for other in following:
                backwards.setdefault(other, []).append(thing)
        reaching: set[Thing] = set()
        todo = [self.root]
        while todo:
            for thing in backwards.get(todo.pop(), ()):
                if thing not in reaching:
                    reaching.add(thing)
                    todo.append(thing)
        if len(reaching) != len(
            self.leads_to
        ):  # beyond the circle there is something else that cannot move: that first
            return []
        return self.path(self.root, lambda thing: thing == self.root)

    def latest(self) -> Thing:
        """The process whose call began last, the innermost of calls in one another: all that look agree on it."""
        return max(
            (thing for thing in self.leads_to if thing[0] == "client"),
            key=lambda thing: (_client_of(self, thing).since_ns, thing[1]),
        )

    def demand(self) -> list[Thing]:
        """The way down to a demand that can never be met, if no other process waits nearer to it; else empty."""
        return self.path(self.root, lambda thing: thing[0] == "demand", is_direct=True)


def walk(survey: Survey, wait: Wait, me: int, is_impossible: Callable[[int], bool], *, is_strict: bool) -> Walk | None:
    """What a wait of client `me` hangs on; None if any of that can move.

    `is_impossible`: whether no call of a class can ever run. `is_strict`: a wait for several objects counts only if all
    of them are known; else it is taken to be for the one that it is parked on, so that who is in a circle finds out
    that it may be, and lets the others know the rest (`Wait.watch_all`).
    """
    made = Walk(("client", me) if wait.is_sole else ("wait", 0))
    steps = _Steps(survey, is_impossible, is_strict=is_strict)
    told = steps.client(me)
    if told is None or (wait.is_sole and told.waits & ~core.WAIT_ENDS_BY != wait.began_ns):
        return None  # another thread of this process waits too: the others cannot see this wait
    made.records[made.root] = _kept(told)
    mine = wait.unresolved()
    made.leads_to[made.root] = tuple(("object", number) for number in mine)
    todo = list(made.leads_to[made.root])
    while todo:
        thing = todo.pop()
        if thing in made.leads_to:
            continue
        found = steps.of(thing)
        if found is None or len(made.leads_to) > MOST_THINGS:
            return None
        made.records[thing], made.leads_to[thing] = found
        todo += found[1]
    return made if mine else None


class _Steps:
    """From one thing to what must move before it: (what was read, those things), or None if it may move by itself."""

    def __init__(self, survey: Survey, is_impossible: Callable[[int], bool], *, is_strict: bool) -> None:
        self._survey = survey
        self._is_impossible = is_impossible
        self._is_strict = is_strict

    def of(self, thing: Thing) -> tuple[object, tuple[Thing, ...]] | None:
        kind, number = thing
        if kind == "object":
            return self._object(number)
        if kind == "task":
            return self._task(number)
        if kind == "client":
            return self._process(number)
        return (number, ())

    def client(self, index: int) -> ClientRecord | None:
        """A client's record as it is now."""
        rows = self._survey.clients(index, 1)
        return ClientRecord(*rows[0]) if rows else None

    def _object(self, number: int) -> tuple[object, tuple[Thing, ...]] | None:
        rows, _ = self._survey.objects(_index(number), 1)
        found = ObjectRecord(*rows[0]) if rows else None
        if found is None or found.object != number or found.closed or found.is_permit or not found.producer:
            return None
        return (found.producer, (("task", found.producer),))

    def _task(self, number: int) -> tuple[object, tuple[Thing, ...]] | None:
        rows, _ = self._survey.tasks(_index(number), 1)
        task = TaskRecord(*rows[0]) if rows else None
        if task is None or task.slot != number:
            return None
        following: Thing | None = None
        if task.state == core.TASK_WAITING and task.awaits:
            following = ("object", task.awaits)
        elif task.state == core.TASK_RUNNING:
            following = ("client", task.who)
        elif task.state == core.TASK_READY:
            following = self._taker(task)
        if following is None:
            return None
        return ((task.state, task.who, task.attempt), (following,))

    def _taker(self, task: TaskRecord) -> Thing | None:
        """What a call that waits for its turn waits for."""
        if task.is_actor_call:
            rows = self._survey.classes(task.class_id, 1)
            actor = ClassRecord(*rows[0]) if rows else None
            if actor is None or actor.state != core.CLASS_LIVE:
                return None
            if actor.taker:
                return ("client", actor.taker - 1)
        return ("demand", task.class_id) if self._is_impossible(task.class_id) else None

    def _process(self, index: int) -> tuple[object, tuple[Thing, ...]] | None:
        client = self.client(index)
        if client is None or client.state == core.CLIENT_DYING:
            return None
        if client.wait_kind == core.WAIT_ANYHOW or (self._is_strict and client.wait_kind == core.WAIT_LISTED):
            return None
        if client.wait_kind == core.WAIT_ALL:
            awaited: Iterable[int] = sorted(self._survey.watched(index))
        elif client.awaits in (core.AWAITS_NOTHING, core.AWAITS_SEVERAL):
            return None  # it has just begun or ended
        else:
            awaited = (client.awaits,)
        following = tuple(("object", number) for number in awaited)
        return (_kept(client), following) if following else None


def _kept(client: ClientRecord) -> ClientRecord:
    """Without what may change while it waits, and is no matter."""
    return client._replace(run_state=0, is_blocked=False, parks=0, submitted=0)


def _client_of(walk: Walk, thing: Thing) -> ClientRecord:
    found = walk.records[thing]
    assert isinstance(found, ClientRecord)
    return found


def _unwound(before: dict[Thing, Thing], first: Thing, last: Thing) -> list[Thing]:
    path = [last]
    at = before[last]
    while at != first:
        path.append(at)
        at = before[at]
    path.append(first)
    return path[::-1]


def _index(number: int) -> int:
    return number & 0xFFFFFFFF
