# SPDX-License-Identifier: Apache-2.0
"""`ray.exceptions`: each class of Ray is one of Shoal's, so `except` catches what is raised here.

A class of Ray for something that cannot happen on a node, or that Shoal reports otherwise, is there too, to be named in
an `except`; it is never raised."""

from __future__ import annotations

import builtins

from shoal import errors
from shoal.errors import (
    ActorDiedError,
    ActorError,
    ActorNameTakenError,
    ActorNotFoundError,
    ActorUnavailableError,
    CoreFailureError,
    GetTimeoutError,
    NodeDiedError,
    NodeNotFoundError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    PendingCallsLimitExceeded,
    ShoalError,
    TaskCancelledError,
    TaskError,
    WorkerCrashedError,
)

__all__ = [
    "ActorAlreadyExistsError",
    "ActorDiedError",
    "ActorHandleNotFoundError",
    "ActorUnavailableError",
    "GetTimeoutError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectLostError",
    "ObjectStoreFullError",
    "OutOfDiskError",
    "OutOfMemoryError",
    "PendingCallsLimitExceeded",
    "RayActorError",
    "RayError",
    "RayStateApiException",
    "RaySystemError",
    "RayTaskError",
    "ServerUnavailable",
    "TaskCancelledError",
    "WorkerCrashedError",
]

ActorAlreadyExistsError = ActorNameTakenError
ActorHandleNotFoundError = ActorNotFoundError
LocalRayletDiedError = NodeDiedError
RayActorError = ActorError
RayError = ShoalError
RaySystemError = CoreFailureError
RayTaskError = TaskError
RayStateApiException = NodeNotFoundError  # of ray.util.state.exception
ServerUnavailable = NodeNotFoundError

OTHERS: dict[str, tuple[str, str]] = {
    "ActorClassInheritanceException": ("TypeError", "An actor's class may be derived from."),
    "ActorPlacementGroupRemoved": ("RayError", "Its placement group was removed, and the actor with it."),
    "ActorUnschedulableError": ("RayError", "No node can run the actor."),
    "AsyncioActorExit": ("RayError", "How Ray ends an async actor from inside; here `exit_actor` needs none."),
    "AuthenticationError": ("RayError", "There is no network between the processes of a node."),
    "DataSourceUnavailable": ("Exception", "Inside of Ray."),
    "CrossLanguageError": ("RayError", "Tasks and actors are written in Python."),
    "ObjectFetchTimedOutError": ("ObjectLostError", "Objects are on this node: none is fetched."),
    "ObjectFreedError": ("ObjectLostError", "Objects that somebody refers to cannot be freed by hand."),
    "ObjectReconstructionFailedError": ("ObjectLostError", "Objects outlive the worker that made them."),
    "ObjectRefStreamEndOfStreamError": ("RayError", "A stream ends with StopIteration."),
    "OufOfBandObjectRefSerializationException": ("RayError", "A ref may be pickled by hand."),
    "OwnerDiedError": ("ObjectLostError", "Objects outlive the worker that made them."),
    "PlasmaObjectNotAvailable": ("RayError", "Inside of Ray."),
    "RayCgraphCapacityExceeded": ("RaySystemError", "There are no compiled graphs."),
    "RayChannelError": ("RaySystemError", "There are no compiled graphs."),
    "RayChannelTimeoutError": ("RayChannelError TimeoutError", "There are no compiled graphs."),
    "RayDirectTransportError": ("RaySystemError", "Tensors go through the object store."),
    "ReferenceCountingAssertionError": ("ObjectLostError AssertionError", "Inside of Ray."),
    "RpcError": ("RayError", "There is no network between the processes of a node."),
    "RuntimeEnvSetupError": ("RayError", "The environment of a task or actor could not be made."),
    "StreamingGeneratorReplayInconsistentError": ("RaySystemError", "Inside of Ray."),
    "TaskPlacementGroupRemoved": ("RayError", "Its placement group was removed, and the task with it."),
    "TaskUnschedulableError": ("RayError", "No node can run the task."),
    "UnserializableException": ("RayError", "A RayTaskError whose `cause` is None has the text of such an error."),
    "UserCodeException": ("RayError", "Inside of Ray."),
}
"""Classes of Ray without a counterpart of another name: bases, and why. One of that name in `shoal.errors` is it."""


def _class_of(name: str, bases: str, why: str) -> type[BaseException]:
    kept: type[BaseException] | None = getattr(errors, name, None)
    found = tuple(globals().get(base) or getattr(builtins, base) for base in bases.split())
    return kept or type(name, found, {"__module__": __name__, "__doc__": why})


globals().update((name, _class_of(name, *row)) for name, row in OTHERS.items())
