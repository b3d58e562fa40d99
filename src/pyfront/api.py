# SPDX-License-Identifier: Apache-2.0
"""What users call: `init shutdown is_initialized remote get put wait cancel kill`.

Names, defaults and semantics are those of Ray core. Everything that runs per call is one thin function over the
compiled client; the first of them connects if nobody called `init`."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from shoal import driver, runtime, store
from shoal._core._node import Client, ObjectRef, ObjectRefGenerator
from shoal.actor import ActorHandle
from shoal.actor_class import ActorClass
from shoal.context import Context
from shoal.errors import AlreadyInitializedError, InvalidReferenceError, SerializationError
from shoal.remote_function import RemoteFunction, check_function
from shoal.store import unsealed
from shoal.task.dynamic import DynamicObjectRefGenerator
from shoal.task.options import (
    ActorOptions,
    TaskOptions,
    check_init,
    check_metrics_port,
    check_spilling,
    merge_actor,
    merge_task,
)
from shoal.typed import Several

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
W = TypeVar("W", bound="ObjectRef[Any] | ObjectRefGenerator[Any]")


# -- the connection


def init(
    address: str | None = None,
    *,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    object_store_memory: int | None = None,
    object_spilling_directory: str | os.PathLike[str] | None = None,
    object_spilling_limit: int | None = None,
    memory: int | None = None,
    labels: Mapping[str, str] | None = None,
    metrics_export_port: int | None = None,
    namespace: str | None = None,
    ignore_reinit_error: bool = False,
    log_to_driver: bool | None = None,
    tracing: bool | None = None,
    record_lines: bool | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    mode: Literal["node", "inline"] | None = None,
    **later: Any,
) -> Context:
    """Connect this process to a node, starting one if `address` is None or "local".

    - `address`: "auto" attaches to the newest running node of this user, a path to the one whose folder or socket it
      is; default the variable SHOAL_ADDRESS.
    - `num_cpus`, `num_gpus`: whole numbers; default what the machine has and this process may use.
    - `resources`: amounts of custom kinds, by name; default none.
    - `object_store_memory`: bytes of shared memory for objects, at least 1 MiB; default 30 % of the memory.
    - `object_spilling_directory`: a folder on a disk for values that do not fit; default SHOAL_SPILL_DIR, else
      /var/tmp.
    - `object_spilling_limit`: bytes there at most, 0 for none at all; default SHOAL_SPILL_LIMIT, else what the disk
      has.
    - `memory`: bytes that tasks and actors may demand together; default the rest of the memory. Ray's `_memory` is
      taken for it.
    - `labels`: of the node, for calls that ask for them; default none.
    - `metrics_export_port`: where Prometheus finds the node's metrics, on the loopback interface, 0 for any port that
      is free (`Context.metrics_url` has it); default no endpoint.
    - `namespace`: of named actors; default one of this driver's own.
    - `ignore_reinit_error`: if this process is connected already, keep that connection instead of raising; default no.
    - `log_to_driver`: print what workers print; default yes.
    - `tracing`: keep what `timeline` shows; default SHOAL_TRACING, else no.
    - `record_lines`: remember which line made which object, for `shoal memory`; default SHOAL_RECORD_LINES, else no.
    - `runtime_env`: the environment of all tasks and actors, a `shoal.runtime_env.RuntimeEnv` (to be imported by that
      name: `import shoal` does not) or a dict like it; default this process's.
    - `mode`: "inline" runs tasks and actors in this process, one at a time, for debuggers (docs/inline-mode.md);
      default SHOAL_MODE, else "node". Ray's `local_mode=True` is taken for it.
    - `later`: names that only Ray has; what asks for something there is refused.

    What describes a node, from `num_cpus` to `metrics_export_port`, `tracing` and `record_lines`, is refused with the
    `address` of one that runs. Returns a context that ends the connection when used in a `with` statement. Without
    `init`, the first use connects with all defaults.

    Raises AlreadyInitializedError (a RuntimeError) if connected, unless `ignore_reinit_error`; NodeStartError;
    NodeNotFoundError; ValueError or TypeError for a bad value; ImportError for a metrics endpoint without
    prometheus-client; UnsupportedOptionError for an option of a later release; RuntimeEnvSetupError if files of
    `runtime_env` cannot be copied."""
    memory = later.pop("_memory", None) if memory is None else memory
    port = later.pop("_metrics_export_port", None) if metrics_export_port is None else metrics_export_port
    check_metrics_port(port)
    if later.pop("local_mode", False) and mode is None:
        mode = "inline"
    check_init(later, num_cpus, num_gpus, resources, object_store_memory, namespace, memory, labels)
    check_spilling(object_spilling_directory, object_spilling_limit)
    if runtime_env is not None:
        from shoal.runtime_env.fields import RuntimeEnv

        runtime_env = RuntimeEnv.of(runtime_env)
    with runtime.connecting():
        if runtime.connection is not None:
            if ignore_reinit_error:
                return Context(runtime.connection)
            raise AlreadyInitializedError(
                "this process is connected already, by init() or by a first use; call shoal.shutdown() first, or pass "
                "ignore_reinit_error=True to keep the connection"
            )
        return Context(
            driver.connect(
                driver.NodeOptions(
                    address=address,
                    num_cpus=num_cpus,
                    num_gpus=num_gpus,
                    resources=resources,
                    object_store_memory=object_store_memory,
                    object_spilling_directory=object_spilling_directory,
                    object_spilling_limit=object_spilling_limit,
                    memory=memory,
                    metrics_export_port=port,
                    labels=labels,
                    namespace=namespace,
                    log_to_driver=log_to_driver,
                    tracing=tracing,
                    record_lines=record_lines,
                    runtime_env=runtime_env,
                    mode=mode,
                )
            )
        )


def shutdown() -> None:
    """End the connection, and the node with everything on it if this process started it. Repeating it has no effect."""
    driver.disconnect()


def is_initialized() -> bool:
    """Whether this process is connected to a node."""
    return runtime.connection is not None


runtime.on_first_use(lambda: driver.connect(driver.NodeOptions()))


# -- tasks and actors


class Decorator(Protocol):
    """What `remote(num_cpus=...)` returns."""

    @overload
    def __call__(self, target: type[T], /) -> ActorClass[T]: ...  # type: ignore[overload-overlap]  # the first wins
    @overload
    def __call__(self, target: Callable[P, R], /) -> RemoteFunction[P, R]: ...


@overload
def remote(target: type[T], /) -> ActorClass[T]: ...  # type: ignore[overload-overlap]  # a class is callable too
@overload
def remote(target: Callable[P, R], /) -> RemoteFunction[P, R]: ...
@overload
def remote(*, num_returns: Literal[1], **options: Any) -> Decorator: ...
@overload
def remote(*, num_returns: int, **options: Any) -> Callable[[Callable[P, Any]], RemoteFunction[P, Several]]: ...
@overload
def remote(
    *, num_returns: Literal["streaming"], **options: Any
) -> Callable[[Callable[P, Any]], RemoteFunction[P, Iterator[Any]]]: ...
@overload
def remote(
    *, num_returns: Literal["dynamic"], **options: Any
) -> Callable[[Callable[P, Any]], RemoteFunction[P, DynamicObjectRefGenerator[Any]]]: ...
@overload
def remote(**options: Any) -> Decorator: ...
def remote(*args: Any, **options: Any) -> Any:
    """Make a function a task, or a class an actor: `@remote`, or `@remote(num_cpus=2, ...)`.

    `args` is the function or class itself where there are no parentheses. The `options` of both:

    - `num_cpus`: CPUs held while the task runs or the actor lives, a multiple of 0.001; default 1 for a task, 0 for an
      actor.
    - `num_gpus`: likewise, a fraction of one GPU or a whole number; default 0.
    - `resources`: amounts of the node's custom kinds, by name; default none.
    - `memory`: bytes; the task or actor waits for them, and is ended if it holds more; default 0, no limit.
    - `name`: of a task, what errors and tools call it, default the function's; of an actor, what `get_actor` finds.
    - `runtime_env`: a dict or `RuntimeEnv`, put over that of the caller; default the caller's.
    - `scheduling_strategy`: "DEFAULT", "SPREAD" or an object of `shoal.util.scheduling_strategies`; default where what
      the caller submits runs.
    - `label_selector`: labels of the node, by name, and what they must be; default any.

    Of functions only:

    - `num_returns`: a number of refs, "streaming" (the default of a generator) or "dynamic"; default 1.
    - `max_items_ahead`: of a stream, how many items may lie there before one is taken; default any number.
    - `max_retries`: how often the task is run again when its worker dies, -1 without end; default 3.
    - `retry_exceptions`: also when it raises: True for every Exception, or a list of types; default False.
    - `timeout`: seconds that an attempt may run; then TaskTimeoutError. Default None, any time.
    - `priority`: -128 to 127; of the tasks of one job the higher start first; default 0.
    - `max_calls`: after how many calls a worker is replaced, 0 for never; default after one that used a GPU.

    Of classes only:

    - `max_concurrency`: calls that the actor runs at a time; default 1, with async methods 1,000.
    - `concurrency_groups`: such limits for groups of methods, by name; default none.
    - `max_pending_calls`: unfinished calls through one handle, then PendingCallsLimitExceeded; default -1, any number.
    - `max_restarts`: how often its process is replaced when it dies, -1 without end; default 0.
    - `max_task_retries`: how often a call in which it died is made again, -1 without end; default 0, with
      `checkpoint_every` 3.
    - `checkpoint_every`: after how many calls its state is kept, by its methods `checkpoint` and `restore`, so that a
      restarted actor goes on where it was; default 0, never.
    - `namespace`: where `name` is known; default that of the job.
    - `get_if_exists`: give the actor that has the `name` already, if there is one; default False.
    - `lifetime`: "detached" lets it outlive its handles and its driver; default None.

    Returns a RemoteFunction or an ActorClass; with options, a decorator that does. Raises TypeError or ValueError for a
    bad option, UnsupportedOptionError for one of a later release.
    """
    if args:
        if len(args) != 1 or options:
            raise TypeError("use @remote on a function or class, or @remote(option=value, ...)")
        return _make_remote(args[0], {})
    if not options:
        raise TypeError("use @remote without parentheses, or with options in them: @remote(num_cpus=2)")
    return lambda target: _make_remote(target, options)


def _make_remote(target: Any, options: Mapping[str, Any]) -> Any:
    if isinstance(target, type):
        return ActorClass(target, merge_actor(ActorOptions(), options))
    if isinstance(target, (RemoteFunction, ActorClass)):
        raise TypeError(f"{target!r} is remote already; use .options(...) to change its options")
    if not callable(target):
        raise TypeError(f"remote takes a function or a class, not {type(target).__name__}")
    merged = merge_task(TaskOptions(), options)
    check_function(target, merged)
    return RemoteFunction(target, merged)


def kill(actor: ActorHandle[Any], *, no_restart: bool = True) -> None:
    """End the process of `actor`, a handle, now. Its unfinished and later calls raise ActorDiedError.

    With `no_restart` false an actor with restarts left (`max_restarts`) is restarted, as if its process had died by
    itself; default true. Killing it again has no effect. Raises TypeError for anything but a handle,
    InvalidReferenceError for one of a connection that has ended."""
    if not isinstance(actor, ActorHandle):
        raise TypeError(f"kill takes the handle of an actor, not {type(actor).__name__}")
    actor._shoal_identity.check_connected()
    runtime.connected().calls.kill_actor(actor._shoal_identity.class_id, no_restart=bool(no_restart))


def cancel(ref: ObjectRef[Any] | ObjectRefGenerator[Any], *, force: bool = False, recursive: bool = True) -> None:
    """End the task, or the actor's call, whose return or stream `ref` is. Anybody who has the ref may.

    What waits is not run. Running Python is interrupted: KeyboardInterrupt is raised in the task, also in a `sleep` or
    a nested `get`; with `force` its worker is killed, which ends native code too (default no). In an async actor the
    call's asyncio task is cancelled; in other actors a call that runs goes on, and may ask
    `get_runtime_context().is_canceled()`. With `recursive`, the default, also what the task has submitted is cancelled,
    and so on; actors that it made live on. A cancelled task is not retried, and its refs raise TaskCancelledError,
    whatever its code makes of the interrupt; the next item of a stream does. Of a task that is over: no effect.

    Returns without waiting for the task to end. Raises TypeError for anything that is not a ref,
    InvalidReferenceError (a ValueError) for a ref that no task returns, ValueError for `force` with an actor's call."""
    if isinstance(ref, ObjectRefGenerator):
        ref = ref.completed()
    if not isinstance(ref, ObjectRef):
        raise TypeError(f"cancel takes the ObjectRef of a task, not {type(ref).__name__}; an actor is ended by kill")
    here = runtime.current()
    task = here.client.task_of(ref)
    if task is None:
        raise InvalidReferenceError(f"{ref!r} was made by put: there is no task to cancel")
    index, generation, is_actor_call = task
    if here.client.is_resolved(ref):
        return
    if force and is_actor_call:
        raise ValueError("an actor's call cannot be cancelled by force; end the actor with kill(), or leave force out")
    here.calls.cancel_task(index, generation, force=bool(force), recursive=bool(recursive))


# -- objects


@overload
def get(refs: ObjectRef[R], *, timeout: float | None = None) -> R: ...
@overload
def get(refs: Sequence[ObjectRef[R]], *, timeout: float | None = None) -> list[R]: ...
def get(refs: Any, *, timeout: float | None = None) -> Any:
    """The value of `refs`, a ref, or the values of a list of them, waiting until they are there.

    Arrays of numbers in one piece come without a copy and read-only. `timeout`: seconds to wait at most; default None,
    any time; 0 to look only. Of a list the first error raises, whatever the others do.

    Raises the error that a task ended in (TaskError and its kin), GetTimeoutError (a TimeoutError), DeadlockError for a
    wait without `timeout` that can never end, ObjectLostError, InvalidReferenceError (a ValueError) for a ref of a
    connection that has ended, TypeError for anything that is not a ref, ValueError for a negative `timeout`."""
    client = (runtime.connection or runtime.current()).client
    if type(refs) is ObjectRef:
        return client.get(refs, timeout)
    if isinstance(refs, (list, tuple)):
        return client.get_many(refs, timeout)
    if isinstance(refs, ObjectRef):  # of another implementation of Client
        return client.get(refs, timeout)
    if isinstance(refs, ObjectRefGenerator):
        raise TypeError("get takes a ref, not a generator of refs: iterate over it, and get each ref that it gives")
    raise TypeError(f"get takes an ObjectRef or a list of them, not {type(refs).__name__}")


def put(value: R) -> ObjectRef[R]:
    """Store `value` -> a ref to it. An array of `shoal.store.empty` is sealed in place, anything else is copied once.

    Raises SerializationError with the path to what cannot be pickled, ObjectStoreFullError, TypeError for a ref.
    """
    client = (runtime.connection or runtime.current()).client
    if type(value) is ObjectRef:
        raise TypeError("put of an ObjectRef: it names an object that is stored already; put a list to store the ref")
    if unsealed:
        sealed = store.seal(value)
        if sealed is not None:
            return sealed
    try:
        return client.put(value)
    except SerializationError as error:
        from shoal.serialization.blame import explain_value

        raise explain_value(value, error) from error.__cause__


def wait(
    refs: list[W], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[W], list[W]]:
    """Wait until `num_returns` of `refs` are resolved, or `timeout` seconds are over -> (ready, not ready).

    `num_returns` is 1 by default; `timeout` None, for any time. Both lists keep the order of `refs`, and the first has
    at most `num_returns`: those that were resolved first. A ref is ready when its task has a value or an error. An
    ObjectRefGenerator may stand in the list too: it is ready when its next item is, or when it has ended. `fetch_local`
    has no effect on one node.

    Raises TypeError unless `refs` is a list of refs and the others are numbers, ValueError for a ref that is there
    twice, for `num_returns` out of range and for a negative `timeout`, DeadlockError for a wait without `timeout` that
    can never end."""
    client = (runtime.connection or runtime.current()).client
    if type(refs) is not list:
        raise TypeError(f"wait takes a list of ObjectRefs, not {type(refs).__name__}")
    if type(num_returns) is not int:
        num_returns = _whole("num_returns", num_returns)
    if not refs:
        return [], []
    if not 0 < num_returns <= len(refs):
        raise ValueError(f"num_returns must be from 1 to the number of refs ({len(refs)}), not {num_returns}")
    try:
        return client.wait(refs, num_returns, timeout)  # type: ignore[arg-type, return-value]
    except TypeError:
        if not any(isinstance(ref, ObjectRefGenerator) for ref in refs):
            raise
    return _wait_for_items(client, refs, num_returns, timeout)


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None


def _wait_for_items(
    client: Client, waited: list[W], num_returns: int, timeout: float | None
) -> tuple[list[W], list[W]]:
    """`wait` where generators stand for the items that they wait for. One that is over is ready."""
    pending = [ref.pending() if isinstance(ref, ObjectRefGenerator) else ref for ref in waited]
    over = [at for at, ref in enumerate(pending) if ref is None][:num_returns]
    ready = {*over}
    if len(over) < num_returns:
        refs = [ref for ref in pending if ref is not None]
        done = {*client.wait(refs, num_returns - len(over), timeout)[0]}
        ready |= {at for at, ref in enumerate(pending) if ref in done}
    return (
        [ref for at, ref in enumerate(waited) if at in ready],
        [ref for at, ref in enumerate(waited) if at not in ready],
    )
