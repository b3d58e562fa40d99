# SPDX-License-Identifier: Apache-2.0
"""Every public exception. All derive from `ShoalError`; each message says which, why, and what to do.

Guarantees: every class here survives pickling with its fields, because the fields live in `__dict__` and `args` is only
the message. Errors that the compiled core raises on its own (time-outs, a full store) are raised as the classes of this
module: importing it registers them with the core.
"""

from __future__ import annotations

from typing import Any

from shoal._core import status


class ShoalError(Exception):
    """Base of every error that Shoal raises."""


# -- what a call can end in


class TaskError(ShoalError):
    """An exception was raised inside a task or an actor's method.

    What `get` raises is also an instance of the original exception's class wherever that class allows it, so
    `except ValueError` works across processes.
    """

    cause: BaseException | None
    """The original exception; None if it could not be pickled (then only the text below is known)."""
    type_name: str
    """Qualified name of the original exception's class."""
    message: str
    """`str()` of the original exception."""
    remote_traceback: str
    """The traceback as the worker printed it."""
    task_name: str
    pid: int
    node: str
    function_name: str
    """The same as `task_name`, as Ray calls it."""
    traceback_str: str
    """The same as `remote_traceback`, as Ray calls it."""

    # Declared without defaults: a class attribute here would hide one of the original class. For the same reason an
    # original's own field of one of these names wins on the instance, and the text is kept apart.
    _shoal_text: str
    _shoal_reduce: tuple[Any, ...]

    def as_instanceof_cause(self) -> TaskError:
        """This error: it is an instance of the original exception's class already, wherever that class allows it."""
        return self

    def __str__(self) -> str:
        return self.__dict__.get("_shoal_text") or super().__str__()

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self.__dict__.get("_shoal_reduce") or super().__reduce__()


class TaskCancelledError(ShoalError):
    """The task was cancelled, or its job ended, before it had a result."""

    task_name: str = ""
    """As errors and output name it; empty if the process that asks does not know."""


class TaskTimeoutError(ShoalError, TimeoutError):
    """The task ran for longer than its `timeout=`, and was ended."""

    task_name: str = ""
    timeout_s: float = 0.0


class NonDeterministicTaskError(ShoalError):
    """A task that was run again made another call than its earlier attempt had made at that place."""

    task_name: str = ""
    earlier_call: str = ""
    """What the earlier attempt had called there."""
    call: str = ""
    """What this attempt calls there."""


class WorkerCrashedError(ShoalError):
    """The process that ran the task died, and the task has no retries left."""

    pid: int = 0
    signal: int | None = None
    """Number of the signal that ended the process, if one did."""
    exit_code: int | None = None
    stderr: tuple[str, ...] = ()
    """The last lines that the process printed to stderr."""


class BrokenExecutorError(WorkerCrashedError):
    """The worker that ran a call of an `Executor` died; others go on. Also a `concurrent.futures.BrokenExecutor`."""


class ActorError(ShoalError):
    """Base of errors about an actor rather than about one call."""

    actor_name: str = ""


class ActorDiedError(ActorError):
    """The actor is gone: it was killed, crashed, exited, or its constructor failed."""

    cause: BaseException | None = None
    """The constructor's error if that is why the actor died."""
    pid: int = 0
    signal: int | None = None
    exit_code: int | None = None
    stderr: tuple[str, ...] = ()


class ActorUnavailableError(ActorError):
    """The actor's process died in this call, which may have run in part. The actor is restarted: call again."""

    pid: int = 0
    signal: int | None = None
    exit_code: int | None = None
    stderr: tuple[str, ...] = ()


class ActorNotFoundError(ActorError, ValueError):
    """No living actor has this name in this namespace."""


class ActorNameTakenError(ActorError, ValueError):
    """Another living actor already has this name in this namespace."""


class ActorPlacementGroupRemoved(ActorDiedError):
    """The placement group that the actor lived in, or was to live in, was removed."""


class ActorUnschedulableError(ActorError):
    """The actor may live on one node only, and that node is not there."""


class PendingCallsLimitExceeded(ActorError):
    """One more call would be more than the handle's `max_pending_calls`. Nothing was submitted."""


class OutOfMemoryError(ShoalError, MemoryError):
    """A task held or asked for more memory than it may have, or the node ran short of memory and ended it."""

    task_name: str = ""
    pid: int = 0
    peak_bytes: int = 0
    """The most private memory that it was seen to hold, without what its process held before; 0: not known."""
    limit_bytes: int | None = None
    """Its `memory=`; None if it was ended for another reason."""
    node_state: str = ""
    """Memory of the node at that time, in words."""


class ActorOutOfMemoryError(ActorDiedError, OutOfMemoryError):
    """The actor is gone, because it or its node ran out of memory."""


class DeadlockError(ShoalError, RuntimeError):
    """A `get` or `wait` that could never end: what it waits for waits for it, or for what the node will never have.

    Of the calls in a circle the one that began last gets the error; the others go on.
    """

    chain: tuple[str, ...] = ()
    """Who waits for what: one line for each process of the circle, or the way down to the demand."""


class RuntimeEnvSetupError(ShoalError):
    """The environment (`runtime_env`) of a task, an actor or a job could not be made."""

    output: tuple[str, ...] = ()
    """The installer's last lines, if there was one."""


class NodeDiedError(ShoalError):
    """The node's daemon is gone, and the node with it."""


# -- objects


class SerializationError(ShoalError, TypeError):
    """A value cannot be pickled, or a pickle cannot be loaded where it is needed."""

    path: str = ""
    """Where in the value the first part that cannot be pickled is, e.g. `args[0]['model'].lock`."""


class ObjectLostError(ShoalError):
    """The object's bytes are gone or were found damaged."""


class GetTimeoutError(ShoalError, status.Timeout):
    """A `get` or `await` ran out of time. Also a `TimeoutError`."""


class ObjectStoreFullError(ShoalError, status.StoreFull):
    """The node's segment has no room for one more object or record. Also a `MemoryError`."""


class OutOfDiskError(ObjectStoreFullError):
    """The store is full, and its objects cannot be spilled: the disk is full, fails, or its limit is reached."""


# -- collective groups


class CollectiveError(ShoalError):
    """A collective operation cannot be done: there is no such group here, or a rank has left it."""

    group_name: str = ""


class CollectiveMismatchError(CollectiveError, ValueError):
    """The ranks of a group called different operations, or with different shapes or types. No data was changed."""

    ranks: tuple[int, ...] = ()
    """Those that called something else than this one."""


class CollectiveRankDiedError(CollectiveError):
    """The process of a rank died. The group is of no further use: destroy it, and make another one."""

    rank: int = -1
    actor_name: str = ""
    """Of the actor that was this rank; empty if it was a task or a driver."""
    pid: int = 0


class CollectiveTimeoutError(CollectiveError, TimeoutError):
    """Some ranks did not come within the group's timeout."""

    ranks: tuple[int, ...] = ()
    """Those that were waited for."""


# -- the connection


class NotConnectedError(ShoalError, status.Closed):
    """The object belongs to a connection that was shut down."""


class ForkedProcessError(ShoalError, status.Forked):
    """This process was forked from one that is connected; the connection stayed with the parent."""


class NodeStoppingError(NodeDiedError, status.Fenced):
    """The node has stopped, or has shut this process out: no call, object or actor of it can be reached any more."""


class InvalidReferenceError(ShoalError, status.Invalid):
    """A ref cannot be used here: its connection has ended, or its object is gone. Also a `ValueError`."""


class CoreFailureError(ShoalError, status.CoreError):
    """A system call that the node needs has failed, or the core found something that should not be."""


class AlreadyInitializedError(ShoalError, RuntimeError):
    """`init` was called twice without `ignore_reinit_error=True`."""


class NodeNotFoundError(ShoalError, ConnectionError):
    """No running node answers at the address."""


class NodeStartError(ShoalError, RuntimeError):
    """The node's daemon could not be started."""


# -- demands and places


class TaskPlacementGroupRemoved(ShoalError):
    """The placement group that the task ran in, or was to run in, was removed."""

    task_name: str = ""


class TaskUnschedulableError(ShoalError):
    """The task may run on one node only, and that node is not there."""


class PlacementGroupSchedulingError(ShoalError, ValueError):
    """A placement group is not as asked: of no such name, of a name that is taken, removed, or without a bundle that
    could hold the demand. Nothing was submitted."""


class InfeasibleResourcesWarning(UserWarning):
    """No node can grant the demanded resources as things are: the call waits until one can.

    `warnings.simplefilter("error", shoal.InfeasibleResourcesWarning)` turns it into an error at the call.
    """


class UnsupportedOptionError(ShoalError, NotImplementedError):
    """An option that Shoal knows but that this release does not provide."""

    option: str = ""


class InlineModeError(ShoalError, NotImplementedError):
    """What was asked for needs a node of processes, and this process runs in inline mode: `init(mode="inline")`."""


class CompatibilityWarning(UserWarning):
    """A program written for another library asks for something that a node does not have; it goes on without."""


# -- looking at a node


class IncompleteStateWarning(UserWarning):
    """What `shoal.util.state` returns lacks something: the daemon did not answer, or there is more than it reads."""


# The core looks its exception classes up in `status` when it raises, so `.remote()`, which has no Python layer, raises
# the public classes too.
CORE_ERRORS: dict[str, type[ShoalError]] = {
    "Timeout": GetTimeoutError,
    "StoreFull": ObjectStoreFullError,
    "Closed": NotConnectedError,
    "Forked": ForkedProcessError,
    "Fenced": NodeStoppingError,
    "Invalid": InvalidReferenceError,
    "CoreError": CoreFailureError,
}
for _name, _public in CORE_ERRORS.items():
    setattr(status, _name, _public)
