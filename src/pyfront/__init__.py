# SPDX-License-Identifier: Apache-2.0
"""Distributed futures for Python: stateless tasks, stateful actors and immutable objects at memory speed.

General layout: `api` is what users call, `remote_function`, `actor_class` and `actor` are what `@remote` makes.
`runtime` is this process's connection; `driver` and `node.launch` make it in a driver, `worker.main` gets it from the
zygote. `task`, `serialization` and `protocol` are pure. `node` is the daemon; `_core` is the compiled store, queue
and graph, which alone stands on the path of a call. Imports point down this list: api, worker, driver, actor,
runtime, node_calls, link, protocol, serialization, task, config, ids, errors, _core (tests/meta holds it)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shoal import store, util
from shoal._core._node import ObjectRef, ObjectRefGenerator
from shoal.actor import ActorHandle, method
from shoal.actor_class import get_actor
from shoal.actor_exit import exit_actor
from shoal.api import (
    available_resources,
    cancel,
    cluster_resources,
    get,
    init,
    is_initialized,
    kill,
    nodes,
    put,
    remote,
    shutdown,
    timeline,
    wait,
)
from shoal.errors import (
    ActorDiedError,
    ActorError,
    ActorNameTakenError,
    ActorNotFoundError,
    ActorOutOfMemoryError,
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    ActorUnschedulableError,
    AlreadyInitializedError,
    CollectiveError,
    CollectiveMismatchError,
    CollectiveRankDiedError,
    CollectiveTimeoutError,
    CompatibilityWarning,
    CoreFailureError,
    DeadlockError,
    ForkedProcessError,
    GetTimeoutError,
    IncompleteStateWarning,
    InfeasibleResourcesWarning,
    InlineModeError,
    InvalidReferenceError,
    NodeDiedError,
    NodeNotFoundError,
    NodeStartError,
    NodeStoppingError,
    NonDeterministicTaskError,
    NotConnectedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    PendingCallsLimitExceeded,
    PlacementGroupSchedulingError,
    RuntimeEnvSetupError,
    SerializationError,
    ShoalError,
    TaskCancelledError,
    TaskError,
    TaskPlacementGroupRemoved,
    TaskTimeoutError,
    TaskUnschedulableError,
    UnsupportedOptionError,
    WorkerCrashedError,
)
from shoal.runtime_context import get_gpu_ids, get_runtime_context
from shoal.task.dynamic import DynamicObjectRefGenerator
from shoal.version import __version__

if TYPE_CHECKING:
    from shoal import runtime_env
    from shoal.util.executor import BrokenExecutorError, Executor

__all__ = [
    "ActorDiedError",
    "ActorError",
    "ActorHandle",
    "ActorNameTakenError",
    "ActorNotFoundError",
    "ActorOutOfMemoryError",
    "ActorPlacementGroupRemoved",
    "ActorUnavailableError",
    "ActorUnschedulableError",
    "AlreadyInitializedError",
    "BrokenExecutorError",
    "CollectiveError",
    "CollectiveMismatchError",
    "CollectiveRankDiedError",
    "CollectiveTimeoutError",
    "CompatibilityWarning",
    "CoreFailureError",
    "DeadlockError",
    "DynamicObjectRefGenerator",
    "Executor",
    "ForkedProcessError",
    "GetTimeoutError",
    "IncompleteStateWarning",
    "InfeasibleResourcesWarning",
    "InlineModeError",
    "InvalidReferenceError",
    "NodeDiedError",
    "NodeNotFoundError",
    "NodeStartError",
    "NodeStoppingError",
    "NonDeterministicTaskError",
    "NotConnectedError",
    "ObjectLostError",
    "ObjectRef",
    "ObjectRefGenerator",
    "ObjectStoreFullError",
    "OutOfDiskError",
    "OutOfMemoryError",
    "PendingCallsLimitExceeded",
    "PlacementGroupSchedulingError",
    "RuntimeEnvSetupError",
    "SerializationError",
    "ShoalError",
    "TaskCancelledError",
    "TaskError",
    "TaskPlacementGroupRemoved",
    "TaskTimeoutError",
    "TaskUnschedulableError",
    "UnsupportedOptionError",
    "WorkerCrashedError",
    "__version__",
    "available_resources",
    "cancel",
    "cluster_resources",
    "exit_actor",
    "get",
    "get_actor",
    "get_gpu_ids",
    "get_runtime_context",
    "init",
    "is_initialized",
    "kill",
    "method",
    "nodes",
    "put",
    "remote",
    "runtime_env",
    "shutdown",
    "store",
    "timeline",
    "util",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name == "runtime_env":
        return import_module("shoal.runtime_env")
    if name not in ("BrokenExecutorError", "Executor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `concurrent.futures` costs 8 ms: paid by those who use it.
    value = globals()[name] = getattr(import_module("shoal.util.executor"), name)
    return value
