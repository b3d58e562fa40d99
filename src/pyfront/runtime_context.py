# SPDX-License-Identifier: Apache-2.0
"""Where the calling code runs: `shoal.get_runtime_context()`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from shoal.errors import ActorNotFoundError
from shoal.ids import actor_id, job_id, worker_id
from shoal.protocol.places import ANYWHERE, Place
from shoal.runtime import Runtime, connected, current

if TYPE_CHECKING:
    from shoal.actor import ActorHandle
    from shoal.protocol.placement import ClassPlace
    from shoal.runtime_env.fields import RuntimeEnv
    from shoal.task.running import Running


__all__ = ["RuntimeContext"]


class RuntimeContext:
    """The job, node, worker, task and actor of the calling code. Made by `get_runtime_context`.

    Ids are hexadecimal strings."""

    def __init__(self, connection: Runtime) -> None:
        self._connection = connection

    @property
    def namespace(self) -> str:
        """The namespace that named actors of this job are in by default."""
        return self._connection.namespace

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether this process took over from another one of its actor (`max_restarts`)."""
        actor = self._connection.actor
        return actor is not None and actor.n_restarts > 0

    @property
    def is_replaying(self) -> bool:
        """Whether the running call had returned before the actor was restarted, and is run again for what it does to
        the actor's state (`checkpoint_every`). What must not happen twice outside of the actor can be left out then."""
        from shoal.task.running import last_call

        return last_call.is_replayed

    @property
    def current_actor(self) -> ActorHandle[Any]:
        """A handle to the actor that this process is. While it is kept, the actor does not end by itself.

        Raises RuntimeError outside of an actor, ActorNotFoundError in one that nobody has a handle to any more."""
        actor = self._connection.actor
        if actor is None:
            raise RuntimeError("current_actor is the actor that runs the calling code, and no actor does")
        from shoal.actor_class import own_handle

        found = own_handle(self._connection, actor.class_id)
        if found is None:
            raise ActorNotFoundError(f"actor {actor.name or actor.class_name} ends, as its last handle is gone")
        return found

    @property
    def runtime_env(self) -> RuntimeEnv:
        """The environment of this process, in a driver that of its job: what calls inherit. Paths are of copies."""
        found = self._connection.environment
        from shoal.runtime_env.fields import RuntimeEnv
        from shoal.runtime_env.resolve import described

        return RuntimeEnv() if found is None else described(found)

    def get_job_id(self) -> str:
        """The job: one driver and everything it started."""
        return job_id(self._connection.root)

    def get_node_id(self) -> str:
        """The node."""
        return self._connection.node_id

    def get_worker_id(self) -> str:
        """This process, unique on its node: client record, incarnation, pid."""
        client = self._connection.client
        return worker_id(client.index, client.epoch, os.getpid())

    def get_task_id(self) -> str | None:
        """The running task; None in a driver."""
        here = _running()
        return None if here is None else here.task.id.hex()

    def get_task_name(self) -> str | None:
        """The running task's name, e.g. `simulate` or `Counter.increment`; None in a driver."""
        here = _running()
        return None if here is None else here.name

    def is_canceled(self) -> bool:
        """Whether the running task was cancelled, or is overdue. Raises RuntimeError outside of a task."""
        here = _running()
        if here is None:
            raise RuntimeError("is_canceled() asks about the running task: call it inside a task or an actor's method")
        return self._connection.client.is_ending(here.task)

    def get_actor_id(self) -> str | None:
        """The actor that this process is; None outside of one."""
        actor = self._connection.actor
        return None if actor is None else actor_id(self._connection.root, actor.class_id)

    def get_actor_name(self) -> str | None:
        """The name that the actor was created with; None without one."""
        actor = self._connection.actor
        return None if actor is None else actor.name

    def get_placement_group_id(self) -> str | None:
        """The placement group that the running task, or this actor, is in; None outside of one."""
        return self._place().group or None

    @property
    def should_capture_child_tasks_in_placement_group(self) -> bool:
        """Whether what the calling code submits runs in its placement group, unless it says otherwise."""
        return self._place().captures

    def get_node_labels(self) -> dict[str, str]:
        """The labels of the node."""
        return dict(self._connection.config.labels)

    def get_assigned_resources(self) -> dict[str, float]:
        """What the running task, or this actor, holds, e.g. `{"CPU": 1.0}`; empty in a driver."""
        actor, here = self._connection.actor, _running()
        if actor is not None:
            return self._connection.calls.class_resources(actor.class_id)
        return {} if here is None else self._connection.calls.class_resources(here.task.class_id)

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """The accelerators of the running call, by kind, as CUDA names them: `{"GPU": ["0"]}`."""
        return {"GPU": gpu_ids()}

    def _place(self) -> ClassPlace | Place:
        actor, here = self._connection.actor, _running()
        if actor is not None:
            return self._connection.calls.place_of(actor.class_id)
        return ANYWHERE if here is None else self._connection.calls.place_of(here.task.class_id)

    def __repr__(self) -> str:
        return f"<runtime context of job {self.get_job_id()}, node {self.get_node_id()}, task {self.get_task_id()}>"


def gpu_ids() -> list[str]:
    """The GPUs of the running call, as CUDA names them; empty in a driver."""
    here = _running()
    if here is None:
        return []
    accelerators = connected().accelerators
    return [] if accelerators is None else accelerators.names(here.task.lease)


def get_runtime_context() -> RuntimeContext:
    """Where the calling code runs. Connects if this process is not connected yet."""
    return RuntimeContext(current())


def get_gpu_ids() -> list[Any]:
    """The GPUs of the running call: numbers where CUDA numbers them, else its names."""
    return [int(name) if name.isdigit() else name for name in gpu_ids()]


def _running() -> Running | None:
    from shoal.task.running import running  # a program that has no tasks yet needs no context variables

    return running()
