# SPDX-License-Identifier: Apache-2.0
"""`ray.get_runtime_context()`: Shoal's, and what Ray's has besides."""

from __future__ import annotations

from typing import Any

from shoal.compat.ids import ActorID, JobID, NodeID, TaskID
from shoal.runtime import Runtime, current
from shoal.runtime_context import RuntimeContext


class RayRuntimeContext(RuntimeContext):
    """Where the calling code runs."""

    def __init__(self, connection: Runtime) -> None:
        super().__init__(connection)
        self._runtime = connection

    @property
    def job_id(self) -> JobID:
        """As `get_job_id`, as an object."""
        return JobID.from_hex(self.get_job_id())

    @property
    def node_id(self) -> NodeID:
        """As `get_node_id`, as an object."""
        return NodeID.from_hex(self.get_node_id())

    @property
    def task_id(self) -> TaskID | None:
        """As `get_task_id`, as an object."""
        text = self.get_task_id()
        return None if text is None else TaskID.from_hex(text)

    @property
    def actor_id(self) -> ActorID | None:
        """As `get_actor_id`, as an object."""
        text = self.get_actor_id()
        return None if text is None else ActorID.from_hex(text)

    @property
    def gcs_address(self) -> str:
        """The folder of the node: what `init(address=...)` takes."""
        return self._runtime.config.runtime_dir

    def get(self) -> dict[str, Any]:
        """The ids that there are, as objects."""
        found = {"job_id": self.job_id, "node_id": self.node_id, "task_id": self.task_id, "actor_id": self.actor_id}
        return {name: value for name, value in found.items() if value is not None}

    def get_temp_dir(self) -> str:
        """The folder of the node."""
        return self._runtime.config.runtime_dir

    def get_session_name(self) -> str:
        """The node's session: another one each time that a node is started."""
        return self._runtime.session

    def get_task_function_name(self) -> str | None:
        """As `get_task_name`."""
        return self.get_task_name()

    def get_resource_ids(self) -> dict[str, list[str]]:
        """As `get_accelerator_ids`."""
        return self.get_accelerator_ids()


def get_runtime_context() -> RayRuntimeContext:
    """Where the calling code runs. Connects if this process is not connected yet."""
    return RayRuntimeContext(current())
