# SPDX-License-Identifier: Apache-2.0
"""What a node's daemon knows and its segment does not, written down for people who look. Reads only."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from shoal.node.actors import Actor, EndedActor
from shoal.node.jobs import Job
from shoal.node.parts import Node
from shoal.node.worker_pool import WorkerPool
from shoal.protocol.messages import Death
from shoal.protocol.tables import ActorRow, JobRow, NodeTables, WorkerRow


def read_tables(node: Node) -> NodeTables:
    """All of them as they are now."""
    config, jobs = node.config, list(node.jobs)
    classes = {class_id: resources for job in jobs for class_id, resources in job.classes.items()}
    shortages = {class_id: node.placing.shortage(class_id, found) for class_id, found in classes.items()}
    places = {class_id: node.placing.group_of(class_id) for class_id in classes}
    counters = {**node.core.counters(), **node.spiller.counters()}
    return NodeTables(
        node_id=config.node_id,
        hostname=socket.gethostname(),
        daemon_pid=config.daemon_pid,
        started_s=node.started_s,
        runtime_dir=config.runtime_dir,
        total=config.resources,
        available=node.ledger.named(node.core.available()),
        counters={name: float(n) for name, n in counters.items()},
        store_bytes=config.store_bytes,
        jobs=[_job_row(job) for job in jobs],
        actors=[*map(_actor_row, node.actors), *map(_ended_row, node.actors.ended)],
        workers=list(_worker_rows(node.pool)),
        functions={key: name for job in jobs for key, (_, name) in job.functions.items()},
        classes=classes,
        impossible={class_id: text for class_id, text in shortages.items() if text is not None},
        is_recording_lines=config.is_recording_lines,
        unprepared=node.crews.waiting() | _unprepared_actors(node.pool),
        labels=config.labels,
        groups=node.placement_groups.find("", "", ""),
        group_of={class_id: group for class_id, group in places.items() if group},
    )


def _job_row(job: Job) -> JobRow:
    pid = 0 if job.driver is None else job.driver.pid
    return JobRow(job.root, pid, job.hello.argv0, job.namespace, job.started_s)


def _actor_row(actor: Actor) -> ActorRow:
    order = actor.order
    return ActorRow(
        class_id=order.class_id,
        root=actor.job.root,
        class_name=order.class_name,
        name=order.name,
        namespace=order.namespace,
        pid=0 if actor.process is None else actor.process.pid,
        max_concurrency=order.max_concurrency,
        is_async=order.is_async,
        methods=order.meta,
        resources=actor.job.classes.get(order.class_id, {}),
        n_restarts=actor.restarts.n_begun,
    )


def _ended_row(ended: EndedActor) -> ActorRow:
    order, death = ended.order, ended.death
    return ActorRow(
        class_id=order.class_id,
        root=ended.root,
        class_name=order.class_name,
        name=order.name,
        namespace=order.namespace,
        pid=death.pid,
        max_concurrency=order.max_concurrency,
        is_async=order.is_async,
        methods=order.meta,
        resources={},
        is_alive=False,
        death=describe_death(death),
        n_restarts=ended.n_restarts,
    )


def describe_death(death: Death) -> str:
    """In a few words, how a process ended."""
    if death.signal is not None:
        how = f"killed by signal {death.signal}"
    elif death.exit_code is not None:
        how = f"exited with code {death.exit_code}"
    else:
        how = "never ran"
    return f"{how}: {death.reason}" if death.reason else how


def _worker_rows(pool: WorkerPool) -> Iterable[WorkerRow]:
    for process in pool:
        index, epoch = process.key
        if process.actor is not None:
            name = process.actor.name or process.actor.class_name
        else:
            name = process.output.last_name if process.output is not None else ""
        environment = process.environment
        described = "" if environment is None else environment.describe()
        yield WorkerRow(process.pid, index, epoch, process.job.root, name, described)


def _unprepared_actors(pool: WorkerPool) -> dict[int, str]:
    return {
        process.actor.class_id: f"It is being made ({process.environment.describe()})"
        for process in pool
        if process.actor is not None and process.environment is not None and process.is_unprepared
    }
