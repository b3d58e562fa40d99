# SPDX-License-Identifier: Apache-2.0
"""Who waits for what, down to the thing that does not move: a pure function over a snapshot.

The graph. A process waits for objects (get, wait), for room in the store, or computes. An object waits for the task
that makes it. A task waits for an argument, for resources that others hold, for its actor, or for the process that runs
it. An actor waits for its resources, its process, its constructor, or is busy with calls. What comes back to where it
began is a circle: a deadlock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from shoal._core import _node as core
from shoal.ids import actor_id, worker_id
from shoal.protocol.placement import GroupRow
from shoal.protocol.tables import ActorRow
from shoal.task.bundles import total_of
from shoal.util.state.snapshot import ClientRecord, ObjectRecord, Snapshot, TaskRecord

MAX_DEPTH = 40  # of a chain; deeper ones are cut
MAX_REASONS = 8  # beside one another; the rest is counted
MAX_ROOTS = 20
SHOWN_ID = 16  # characters of an id: `shoal get` takes the beginning of one
MIB = 1 << 20

Key = tuple[str, int]


class Reason(msgspec.Struct, frozen=True):
    """One thing, why it does not move, and what that hangs on."""

    kind: str
    """process, task, object, actor, group, resources, environment, store, circle, or more (what was left out)."""
    subject: str
    """The thing, with its name and the beginning of its id."""
    text: str
    """What it does or waits for."""
    id: str | None = None
    """In full, for `shoal get`."""
    because: tuple[Reason, ...] = ()

    @property
    def is_circle(self) -> bool:
        """Whether something in here waits for itself."""
        return self.kind == "circle" or any(reason.is_circle for reason in self.because)

    def lines(self, indent: str = "") -> Iterator[str]:
        """As indented text, line by line, each behind `indent`."""
        yield f"{indent}{self.subject} {self.text}".rstrip()
        for reason in self.because:
            yield from reason.lines(indent + "  ")


def group_name(row: GroupRow) -> str:
    """A placement group as people know it."""
    return f"placement group {row.name!r} {row.id[:SHOWN_ID]}" if row.name else f"placement group {row.id[:SHOWN_ID]}"


def explain(snapshot: Snapshot, target: str | None = None) -> list[Reason]:
    """Why `target` does not move: an id or the beginning of one, a name, or a pid. None: whatever waits.

    Empty if nothing is meant by `target`, or nothing waits.
    """
    walk = _Walk(snapshot)
    return list(walk.everything()) if target is None else [walk.of(key) for key in walk.meant_by(target)]


class _Walk:
    """The graph of one snapshot, walked from any thing down."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._s = snapshot
        self._path: list[Key] = []
        self._seen: set[Key] = set()

    # -- where to begin

    def everything(self) -> Iterator[Reason]:
        """Processes that wait, drivers first, then tasks that wait for another reason than those tell."""
        clients = sorted(self._s.clients.values(), key=lambda client: client.role != core.ROLE_DRIVER)
        keys = [("process", client.client) for client in clients if self._is_waiting(client)]
        keys += [("task", task.slot) for task in self._s.tasks if task.state != core.TASK_RUNNING]
        n_told = 0
        for key in keys:
            if key in self._seen:
                continue
            n_told += 1
            if n_told <= MAX_ROOTS:
                yield self.of(key)
        if n_told > MAX_ROOTS:
            yield Reason("more", f"{n_told - MAX_ROOTS:,} more", "wait")

    def meant_by(self, target: str) -> list[Key]:
        """What an id, the beginning of one, a name or a pid stands for; the first kind of thing that fits."""
        s = self._s
        candidates: list[list[tuple[Key, Sequence[str | None]]]] = [
            [(("task", task.slot), (task.id.hex(), s.task_name(task))) for task in s.tasks],
            [
                (("actor", class_id), (actor_id(row.root, class_id), row.name, row.class_name))
                for class_id, row in self._actors().items()
            ],
            [
                (("process", client.client), (str(client.pid), worker_id(client.client, client.epoch, client.pid)))
                for client in s.clients.values()
            ],
            [(("group", number), (row.id, row.name)) for number, row in s.group_by_class.items()],
            [(("object", found.object), (found.id.hex(),)) for found in s.objects],
        ]
        for fits in (str.__eq__, str.startswith):
            for kind in candidates:
                keys = [key for key, names in kind if any(name and fits(name, target) for name in names)]
                if keys:
                    return keys[:MAX_ROOTS]
        return []

    def _is_waiting(self, client: ClientRecord) -> bool:
        return bool(client.room_wanted or self._s.awaited_by(client)) or (
            self._s.is_stopped(client) and client.role != core.ROLE_DAEMON
        )

    def _actors(self) -> dict[int, ActorRow]:
        known = self._s.actor_by_class
        nameless = {
            found.class_id: ActorRow(found.class_id, found.root, "", None, "", 0, 1, False, b"", {})
            for found in self._s.classes.values()
            if found.kind == core.CLASS_ACTOR and found.state == core.CLASS_LIVE
        }
        return nameless | known

    # -- one thing

    def of(self, key: Key) -> Reason:
        """The reason of one thing."""
        kind, number = key
        if key in self._path:
            steps = [step for step in self._path[self._path.index(key) :] if step[0] in ("task", "actor")]
            names = [self._subject(step) for step in steps]
            circle = " -> ".join([*names, *names[:1]])
            return Reason("circle", self._subject(key), f"waits for itself, a deadlock: {circle}")
        if len(self._path) >= MAX_DEPTH:
            return Reason("more", self._subject(key), "and so on: the chain is longer than what is shown")
        self._seen.add(key)
        self._path.append(key)
        try:
            told_by = {
                "process": self._process,
                "task": self._task,
                "object": self._object,
                "actor": self._actor,
                "group": self._group,
            }
            return told_by[kind](number)
        finally:
            self._path.pop()

    def _all(self, keys: Iterable[Key]) -> tuple[Reason, ...]:
        wanted = list(dict.fromkeys(keys))
        reasons = [self.of(key) for key in wanted[:MAX_REASONS]]
        for kind, number in wanted[MAX_REASONS:]:  # counted here, so not to be told elsewhere
            found = self._s.object_by_number.get(number) if kind == "object" else None
            self._seen |= {(kind, number), ("task", found.producer if found is not None else 0)}
        if len(wanted) > MAX_REASONS:
            reasons.append(Reason("more", f"{len(wanted) - MAX_REASONS:,} more", ""))
        return tuple(reasons)

    def _subject(self, key: Key) -> str:
        kind, number = key
        if kind == "process":
            return self._process_name(self._s.clients[number])
        if kind == "actor":
            return self._actor_name(number)
        if kind == "group":
            return group_name(self._s.group_by_class[number])
        if kind == "task":
            task = self._s.task_by_slot[number]
            return f"task {self._s.task_name(task) or '?'} {task.id.hex()[:SHOWN_ID]}"
        found = self._s.object_by_number.get(number)
        return "an object that is gone" if found is None else _object_name(found)

    # -- processes

    def _process(self, number: int) -> Reason:
        s = self._s
        client = s.clients[number]
        subject = self._process_name(client)
        full_id = worker_id(client.client, client.epoch, client.pid)
        held = s.tasks_of_client.get(number, [])
        awaited = [found for found in s.awaited_by(client) if not self._is_closed(found)]
        because: tuple[Reason, ...] = ()
        if s.is_stopped(client):
            text = f"is stopped by a signal or a debugger; `kill -CONT {client.pid}` lets it go on"
        elif client.state == core.CLIENT_DYING:
            text = "has died; what it held is being taken back"
        elif client.room_wanted:
            text = f"waits for room in the store, for {_size(client.room_wanted)}"
            because = (self._store(),)
        elif awaited:
            what = "get" if client.awaits != core.AWAITS_SEVERAL else "wait"
            text = f"waits in {what}" if len(awaited) == 1 else f"waits in {what} for {len(awaited)} objects"
            because = self._all(("object", found) for found in awaited)
        elif held:
            text = f"runs {self._names(held)}{self._since(client)}"
        elif client.role in (core.ROLE_DRIVER, core.ROLE_DAEMON):
            text = "runs its own code and waits for nothing of the node"
        else:
            text = "is idle" if client.run_state else "is starting"
        return Reason("process", subject, text, full_id, because)

    def _process_name(self, client: ClientRecord) -> str:
        if client.role == core.ROLE_DRIVER:
            job = self._s.job_by_root.get(client.root)
            return f"driver {client.pid}" + (f" ({job.entrypoint})" if job is not None and job.entrypoint else "")
        if client.role == core.ROLE_ACTOR:
            return f"{self._actor_name(client.class_id)} (pid {client.pid})"
        return f"{'worker' if client.role == core.ROLE_WORKER else 'daemon'} {client.pid}"

    def _since(self, client: ClientRecord) -> str:
        return f", for {(self._s.now_ns - client.since_ns) / 1e9:.1f} s" if client.since_ns else ""

    def _names(self, tasks: Sequence[TaskRecord]) -> str:
        names = [self._s.task_name(task) or "a task" for task in tasks]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    # -- objects

    def _is_closed(self, number: int) -> bool:
        found = self._s.object_by_number.get(number)
        return found is not None and found.closed

    def _object(self, number: int) -> Reason:
        found = self._s.object_by_number.get(number)
        if found is None:
            return Reason("object", "an object", "is gone, or was made just now")
        because: tuple[Reason, ...] = ()
        if found.closed:
            text = "is an error, and there" if found.is_error else "is there"
            if found.where == core.LOC_SPILLED:
                text = "is on disk: the daemon brings it back for whoever wants it"
        elif found.producer in self._s.task_by_slot:
            text = "is missing"
            because = (self.of(("task", found.producer)),)
        else:
            text = "is missing, and its task is gone: it ends just now, or its process has died"
        return Reason("object", _object_name(found), text, found.id.hex(), because)

    # -- tasks

    def _task(self, number: int) -> Reason:
        task = self._s.task_by_slot[number]
        text, because = self._why_task(task)
        return Reason("task", self._subject(("task", number)), text, task.id.hex(), because)

    def _why_task(self, task: TaskRecord) -> tuple[str, tuple[Reason, ...]]:
        s = self._s
        if task.state == core.TASK_WAITING:
            return "waits for an argument", self._all([("object", task.awaits)] if task.awaits else [])
        if task.state == core.TASK_READY:
            return self._why_call_is_queued(task) if task.is_actor_call else self._why_queued(task.class_id)
        client = s.clients.get(task.who)
        if task.state == core.TASK_CLAIMED and task.who == 0:
            return "is with the daemon: it is being cancelled, or is put off because the node ran short of memory", ()
        if client is None:
            return "is in the hands of a process that is gone; it will be put back", ()
        if task.state == core.TASK_COMMITTED:
            return "has ended; its result is being published", self._all([("process", task.who)])
        if task.state == core.TASK_KILLING:
            return "is being ended together with its process", ()
        if task.state == core.TASK_CANCELLED:
            return "was cancelled and is interrupted", self._all([("process", task.who)])
        if task.state == core.TASK_OVERDUE:
            return "ran for longer than its timeout and is interrupted", self._all([("process", task.who)])
        has_begun = "runs" if task.state == core.TASK_RUNNING else "was taken and has not begun"
        return has_begun, self._all([("process", task.who)])

    def _why_call_is_queued(self, task: TaskRecord) -> tuple[str, tuple[Reason, ...]]:
        before = [
            other.slot
            for other in self._s.tasks
            if other.state == core.TASK_WAITING
            and other.is_actor_call
            and (other.class_id, other.submitter) == (task.class_id, task.submitter)
        ]
        if before:
            return "comes after a call of the same caller that waits", self._all([("task", before[0])])
        return "waits for its actor", self._all([("actor", task.class_id)])

    def _why_queued(self, class_id: int) -> tuple[str, tuple[Reason, ...]]:
        found = self._s.classes.get(class_id)
        if found is not None and found.state == core.CLASS_CLOSED:
            return "belongs to a job that has ended", ()
        demand = _amounts(self._s.resources_of(class_id)) or "a worker"
        obstacle = self._obstacle(class_id, demand)
        if obstacle is not None:
            return obstacle
        group = self._s.group_of(class_id)
        if group is not None:
            return f"is queued for {demand} in its placement group", self._all([("group", group.class_id)])
        holders = self._all(self._holders(class_id))
        return f"is queued for {demand}, held by" if holders else f"is queued for {demand}", holders

    def _group(self, class_id: int) -> Reason:
        row = self._s.group_by_class[class_id]
        members = list(self._holding(set(), group=row.id))
        if row.state == row.CREATED:
            free = "; ".join(_amounts(bundle) for bundle in row.available)
            text, because = f"has room for {free}" + (", the rest is held by" if members else ""), self._all(members)
        else:
            holders = self._all(self._holders_of(set(total_of(row.bundles)), but=class_id))
            text = f"waits for {_amounts(total_of(row.bundles))}" + (", held by" if holders else "")
            because = holders
        return Reason("group", group_name(row), text, row.id, because)

    def _obstacle(self, class_id: int, demand: str) -> tuple[str, tuple[Reason, ...]] | None:
        """What keeps calls of a class from running, whatever others hold."""
        impossible = self._impossible(class_id)
        if impossible:
            return f"waits for {demand}", (impossible,)
        unprepared = self._unprepared(class_id)
        return None if unprepared is None else ("waits for its environment", (unprepared,))

    def _impossible(self, class_id: int) -> Reason | None:
        text = None if self._s.tables is None else self._s.tables.impossible.get(class_id)
        return None if text is None else Reason("resources", "The node", f"has not enough, ever. {text}")

    def _unprepared(self, class_id: int) -> Reason | None:
        text = None if self._s.tables is None else self._s.tables.unprepared.get(class_id)
        return None if text is None else Reason("environment", "The environment", f"is not there yet. {text}")

    def _holders(self, class_id: int) -> Iterator[Key]:
        """Who holds what this class demands: processes that run a task of a like demand, and actors."""
        yield from self._holders_of(set(self._s.resources_of(class_id)), but=-1)

    def _holders_of(self, kinds: set[str], but: int) -> Iterator[Key]:
        """Who holds such resources of the node; of placement groups all but the one of this class."""
        wanted = kinds - {"memory"} or {"CPU"}
        yield from self._holding(wanted, group="")
        for class_id, row in self._s.group_by_class.items():
            if class_id != but and row.state == row.CREATED and wanted & set(total_of(row.bundles)):
                yield "group", class_id

    def _holding(self, wanted: set[str], group: str) -> Iterator[Key]:
        """Processes and actors that hold any of these kinds, of the node or a group; no kinds: that hold anything."""

        def holds(class_id: int) -> bool:
            row = self._s.group_of(class_id)
            held = set(self._s.resources_of(class_id))
            return (row.id if row else "") == group and bool(held & wanted if wanted else held)

        for client in self._s.clients.values():
            held = self._s.tasks_of_client.get(client.client, [])
            if client.role == core.ROLE_ACTOR:
                if holds(client.class_id):
                    yield "actor", client.class_id
            elif held and holds(held[-1].class_id) and not client.is_blocked:
                yield "process", client.client

    # -- actors

    def _actor_name(self, class_id: int) -> str:
        row = self._actors().get(class_id)
        if row is None:
            return f"actor {class_id}"
        name = f" {row.name!r}" if row.name else ""
        return f"actor {row.class_name or class_id}{name}"

    def _actor(self, class_id: int) -> Reason:
        row = self._actors().get(class_id)
        text, because = self._why_actor(class_id, row)
        full_id = None if row is None else actor_id(row.root, class_id)
        return Reason("actor", self._actor_name(class_id), text, full_id, because)

    def _why_actor(self, class_id: int, row: ActorRow | None) -> tuple[str, tuple[Reason, ...]]:
        s = self._s
        found = s.classes.get(class_id)
        if row is None or found is None or found.state == core.CLASS_CLOSED:
            ended = [dead for dead in (s.tables.actors if s.tables is not None else ()) if dead.class_id == class_id]
            return f"is dead{': ' + ended[-1].death if ended and not ended[-1].is_alive else ''}", ()
        taker = s.clients.get(found.taker - 1) if found.taker else None
        if taker is None:
            demand = _amounts(s.resources_of(class_id))
            obstacle = self._obstacle(class_id, demand)
            if obstacle is not None:
                return obstacle
            if row.pid or not demand:
                return "waits for its process, which is starting", ()
            return f"waits for {demand}, held by", self._all(self._holders(class_id))
        creation = [task.slot for task in s.tasks if task.class_id == class_id and task.flags & core.SLOT_CREATES_ACTOR]
        if creation and not s.task_by_slot[creation[0]].is_held:
            return "has not run its constructor", self._all([("task", creation[0])])
        n_held, most = len(s.tasks_of_client.get(taker.client, ())), row.max_concurrency
        text = "is about to take its next call" if n_held < most else "is busy"
        if most > 1:
            text += f" ({n_held} of {most} at a time)"
        return text, self._all([("process", taker.client)])

    # -- the store

    def _store(self) -> Reason:
        s = self._s
        used: Counter[int] = Counter()
        for found in s.objects:
            if found.closed and found.where not in (core.LOC_NONE, core.LOC_INLINE, core.LOC_SPILLED):
                used[found.owner] += found.size
        holders = tuple(
            Reason("process", self._process_name(s.clients[owner]), f"made {_size(n_bytes)} of what is there")
            for owner, n_bytes in used.most_common(MAX_REASONS)
            if owner in s.clients
        )
        limit = s.store_limit if s.tables is None else s.tables.store_bytes
        pinned = sum(found.size for found in s.objects if found.object in s.pins)
        text = (
            f"holds {_size(sum(used.values()))} of {_size(limit)}; {_size(pinned)} cannot go, for somebody has a view"
        )
        return Reason("store", "the store", text, None, holders)


def _object_name(found: ObjectRecord) -> str:
    return f"object {found.id.hex()[:SHOWN_ID]}…{found.id.hex()[-8:]}"


def _amounts(resources: dict[str, float]) -> str:
    parts = (
        f"{name}: {_size(amount)}" if name == "memory" else f"{name}: {amount:g}" for name, amount in resources.items()
    )
    text = ", ".join(parts)
    return f"{{{text}}}" if text else ""


def _size(n_bytes: float) -> str:
    return f"{n_bytes / MIB:,.1f} MiB" if n_bytes >= MIB else f"{n_bytes:,.0f} B"
