# SPDX-License-Identifier: Apache-2.0
"""Snapshots made by hand: a node in any state, without a node."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from shoal._core import _node as core
from shoal.ids import method_key
from shoal.protocol.tables import ActorRow, JobRow, NodeTables
from shoal.task.actor_shape import ActorShape, MethodShape
from shoal.util.state.snapshot import ClassRecord, ClientRecord, ObjectRecord, Snapshot, TaskRecord, WaiterRecord

DRIVER, CPU_CLASS, ROOT = 1, 0, 1
NOW_NS = 10**12
FUNCTION = b"f" * 16


@dataclass
class Scene:
    """A driver of one job, and what a test adds: every method returns the number of what it made."""

    tasks: list[TaskRecord] = field(default_factory=list)
    objects: list[ObjectRecord] = field(default_factory=list)
    waiters: list[WaiterRecord] = field(default_factory=list)
    clients: dict[int, ClientRecord] = field(default_factory=dict)
    classes: dict[int, ClassRecord] = field(default_factory=dict)
    pins: dict[int, list[int]] = field(default_factory=dict)
    process_states: dict[int, str] = field(default_factory=dict)
    actors: list[ActorRow] = field(default_factory=list)
    demands: dict[int, dict[str, float]] = field(default_factory=dict)
    impossible: dict[int, str] = field(default_factory=dict)
    is_answering: bool = True

    def __post_init__(self) -> None:
        self.client(core.ROLE_DRIVER)
        self.make_class(CPU_CLASS, core.CLASS_SEAT, {"CPU": 1.0})

    def client(self, role: int = core.ROLE_WORKER, class_id: int = 0, **fields: Any) -> int:
        number = len(self.clients) + 1
        made = ClientRecord(
            number, 1, 1, 100 + number, role, class_id, ROOT, core.RUN_BUSY, False, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        )
        self.clients[number] = made._replace(**fields)
        return number

    def parked(self, client: int, awaits: int) -> None:
        self.clients[client] = self.clients[client]._replace(awaits=awaits, run_state=core.RUN_PARKED)

    def make_class(self, class_id: int, kind: int, demand: dict[str, float], taker: int = 0) -> None:
        self.classes[class_id] = ClassRecord(class_id, core.CLASS_LIVE, kind, ROOT, 0, 0, taker, False, {})
        self.demands[class_id] = demand

    def actor(self, name: str, class_id: int, *, has_process: bool = True, max_concurrency: int = 1) -> int:
        client = self.client(core.ROLE_ACTOR, class_id) if has_process else 0
        self.make_class(class_id, core.CLASS_ACTOR, {}, taker=client + 1 if client else 0)
        methods = msgspec.msgpack.encode(ActorShape({"work": MethodShape()}))
        pid = self.clients[client].pid if client else 0
        self.actors.append(ActorRow(class_id, ROOT, "Actor", name, "ns", pid, max_concurrency, False, methods, {}))
        return client

    def task(self, state: int, who: int = 0, class_id: int = CPU_CLASS, awaits: int = 0, **fields: Any) -> int:
        index = len(self.tasks)
        is_call = self.classes[class_id].kind == core.CLASS_ACTOR
        made = TaskRecord(
            slot=index | 1 << 32,
            state=state,
            who=who,
            class_id=class_id,
            submitter=DRIVER,
            depth=1,
            flags=core.SLOT_ACTOR_CALL if is_call else 0,
            attempt=0,
            max_retries=0,
            root=ROOT,
            n_returns=1,
            n_deps=int(awaits != 0),
            awaits=awaits,
            id=index.to_bytes(2, "big") + b"\x0a" * 14,
            parent=bytes(16),
            function=method_key("work") if is_call else FUNCTION,
            spec_bytes=0,
        )
        self.tasks.append(made._replace(**fields))
        if state >= core.TASK_CLAIMED and who:
            self.clients[who] = self.clients[who]._replace(current=made.slot, since_ns=NOW_NS - 3 * 10**9)
        return made.slot

    def object(self, producer: int = 0, *, closed: bool = False, size: int = 0, where: int = 0, owner: int = 1) -> int:
        number = len(self.objects) | 1 << 32
        object_id = b"\x0b" * 16 + len(self.objects).to_bytes(4, "little")
        self.objects.append(
            ObjectRecord(
                number, object_id, 0, owner, 0, closed, False, size, 0, where or (1 if closed else 0), producer
            )
        )
        return number

    def snapshot(self) -> Snapshot:
        tables = NodeTables(
            node_id="node",
            hostname="host",
            daemon_pid=1,
            started_s=0.0,
            runtime_dir="",
            total={"CPU": 2.0},
            available={"CPU": 0.0},
            counters={},
            store_bytes=100 << 20,
            jobs=[JobRow(ROOT, self.clients[DRIVER].pid, "prog.py", "ns", 0.0)],
            actors=self.actors,
            workers=[],
            functions={FUNCTION: "f"},
            classes=self.demands,
            impossible=self.impossible,
        )
        return Snapshot(
            tasks=self.tasks,
            objects=self.objects,
            waiters=self.waiters,
            clients=self.clients,
            classes=self.classes,
            pins=self.pins,
            process_states=self.process_states,
            tables=tables if self.is_answering else None,
            node_id="node",
            now_ns=NOW_NS,
            store_limit=100 << 20,
        )
