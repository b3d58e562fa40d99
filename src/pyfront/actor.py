# SPDX-License-Identifier: Apache-2.0
"""Handles to actors, and the methods called through them.

A handle keeps its actor alive by the ref of the creating call, which is the actor's handle object. Methods hold that
ref, never the handle, so dropping the last handle frees the ref at once instead of at the next garbage collection.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, ParamSpec, TypeVar, overload

from shoal import runtime
from shoal._core._node import Caller, ObjectRef
from shoal.errors import InvalidReferenceError, ShoalError
from shoal.ids import method_key
from shoal.task.actor_shape import (
    NO_LIMIT,
    RETRIED_ATTRIBUTE,
    ActorShape,
    MethodShape,
    call_name,
    check_group,
    retries_of,
)
from shoal.task.options import merge_declared, merge_method
from shoal.task.returns import for_template
from shoal.typed import Calls, Several

if TYPE_CHECKING:
    from shoal._core._node import Client
    from shoal.pending_calls import PendingCalls
    from shoal.seam import Submission

__all__ = ["ActorHandle", "ActorMethod"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

METHOD_ATTRIBUTE = "__shoal_method__"


class ActorIdentity:
    """Which actor a handle means: shared by the handle and the methods made from it."""

    __slots__ = ("class_id", "class_name", "client", "pending", "ref", "shape")

    def __init__(self, ref: ObjectRef[Any], class_id: int, class_name: str, shape: ActorShape) -> None:
        self.ref = ref  # the creating call's return: the actor lives while anyone holds it
        self.client = runtime.connected().client  # class ids mean nothing to another connection
        self.class_id = class_id
        self.class_name = class_name
        self.shape = shape
        limit = shape.max_pending_calls
        self.pending = None if limit == NO_LIMIT else _pending_calls(self.client, limit, class_name)

    def check_connected(self) -> None:
        """Raises InvalidReferenceError if the handle belongs to a connection that has ended."""
        if runtime.connected().client is not self.client:
            raise InvalidReferenceError(f"the handle to actor {self.class_name} belongs to a connection that has ended")

    def __del__(self) -> None:
        # The core notes a dropped ref and tells the node at this process's next call. A driver that is idle from here
        # on makes none, and the actor would stay: so make one.
        del self.ref
        with suppress(ShoalError):
            self.client.flush()


def _pending_calls(client: Client, limit: int, class_name: str) -> PendingCalls:
    from shoal.pending_calls import PendingCalls  # few actors have a limit

    return PendingCalls(client, limit, class_name)


class ActorMethod(Calls[P, R]):
    """One method of one actor. Made by `handle.method`; called with `.remote(...)`, which takes what it takes.

    What `.remote()` returns and raises is as of a RemoteFunction; besides, PendingCallsLimitExceeded for more calls
    than `max_pending_calls`, and InvalidReferenceError if the handle's connection has ended. `get` raises
    ActorDiedError for a call of an actor that is gone, ActorUnavailableError for one in which its process died.
    """

    if not TYPE_CHECKING:  # a checker is to see typed.RemoteOf, which a slot of this name would hide
        __slots__ = ("_identity", "_name", "_shape", "remote")

    def __init__(self, identity: ActorIdentity, name: str, shape: MethodShape) -> None:
        self._identity = identity
        self._name = name
        self._shape = shape
        call: Callable[..., Any] = Caller(partial(_bind, identity, name, shape))
        limited = call if identity.pending is None else identity.pending.limited(call)
        object.__setattr__(self, "remote", limited)  # a checker is to see typed.RemoteOf

    @overload
    def options(self, *, num_returns: Literal[1], **options: Any) -> ActorMethod[P, R]: ...
    @overload
    def options(self, *, num_returns: int, **options: Any) -> ActorMethod[P, Several]: ...
    @overload
    def options(self, **options: Any) -> ActorMethod[P, R]: ...
    def options(self, **options: Any) -> Any:
        """This method with other `options`: `handle.method.options(num_returns=2).remote()` -> an ActorMethod.

        They are those of `shoal.method`, and `name`, which has no effect; `retry_exceptions` is True or False here.
        Raises TypeError, ValueError or UnsupportedOptionError for a bad one."""
        shape = merge_method(self._shape, options)
        check_group(self._identity.shape, self._name, shape)
        shape.returns_code(f"{self._identity.class_name}.{self._name}")
        return ActorMethod(self._identity, self._name, shape)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        name = self._name
        raise TypeError(f"{name} runs in the actor's process: call it with handle.{name}.remote(...)")

    def __reduce__(self) -> tuple[Any, ...]:
        return method_of, (ActorHandle(self._identity), self._name, self._shape)

    def __repr__(self) -> str:
        return f"<method {self._name} of actor {self._identity.class_name} {self._identity.ref.hex()[:12]}>"


class ActorHandle(Generic[T]):
    """A handle to an actor of class T. Its attributes are the actor's methods, each an ActorMethod.

    Made by `.remote(...)` of an actor's class, and by `get_actor`. It can be passed to tasks and actors, and inside
    containers. Unless it was created with `lifetime="detached"`, the actor exits when the last handle anywhere is gone
    and its calls are done.
    """

    if TYPE_CHECKING:
        _shoal_identity: ActorIdentity

    def __init__(self, identity: ActorIdentity) -> None:
        self.__dict__["_shoal_identity"] = identity
        for name in identity.shape.hidden:  # `handle.__repr__` means the actor's, `repr(handle)` the handle's
            self.__dict__[name] = ActorMethod(identity, name, identity.shape.methods[name])

    def __getattr__(self, name: str) -> ActorMethod[..., Any]:
        if name.startswith("_shoal_"):
            raise AttributeError(name)  # a handle that is still being made
        identity = self._shoal_identity
        shape = identity.shape.methods.get(name)
        if shape is None:
            raise AttributeError(_no_method(identity, name))
        # Kept in the instance, so the next `handle.method` is a plain attribute.
        method: ActorMethod[..., Any] = ActorMethod(identity, name, shape)
        self.__dict__[name] = method
        return method

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot set {name!r}: the actor's state is in its own process; add a method that sets it")

    def __dir__(self) -> list[str]:
        return sorted(self._shoal_identity.shape.methods)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorHandle) and self._shoal_identity.ref == other._shoal_identity.ref

    def __hash__(self) -> int:
        return hash(self._shoal_identity.ref)

    def __repr__(self) -> str:
        identity = self._shoal_identity
        return f"<handle to actor {identity.class_name} {identity.ref.hex()[:12]}>"

    def __reduce__(self) -> tuple[Any, ...]:
        identity = self._shoal_identity
        return handle_of, (identity.ref, identity.class_id, identity.class_name, identity.shape)


def handle_of(ref: ObjectRef[Any], class_id: int, class_name: str, shape: ActorShape) -> ActorHandle[Any]:
    """A handle from its parts; what a pickled handle turns into."""
    return ActorHandle(ActorIdentity(ref, class_id, class_name, shape))


def method_of(handle: ActorHandle[Any], name: str, shape: MethodShape) -> ActorMethod[..., Any]:
    """A method from its parts; what a pickled one turns into."""
    return ActorMethod(handle._shoal_identity, name, shape)


def _no_method(identity: ActorIdentity, name: str) -> str:
    who = f"actor {identity.class_name}"
    if name in identity.shape.properties:
        return (
            f"{name!r} of {who} is a property, which has its value in the actor's process: add a method that returns it"
        )
    known = ", ".join(sorted(method for method in identity.shape.methods if not method.startswith("_")))
    return f"{who} has no method {name!r}; its methods are: {known}"


def _bind(identity: ActorIdentity, name: str, shape: MethodShape) -> Submission:
    identity.check_connected()
    return runtime.connected().template(
        key=method_key(call_name(name, shape.concurrency_group, shape.retry_exceptions)),
        class_id=identity.class_id,
        **for_template(shape.returns_code(name)),
        max_retries=retries_of(identity.shape, shape),
        is_actor_call=True,
        keep=identity,
    )


@overload
def method(function: F, /) -> F: ...
@overload
def method(**options: Any) -> Callable[[F], F]: ...
def method(*args: Any, **options: Any) -> Any:
    """Options of one method of an actor's class: `@method(num_returns=2)`.

    `args` is the method itself where there are no parentheses. The `options`:

    - `num_returns`: a number of refs, "streaming" (the default of a generator) or "dynamic"; default 1.
    - `max_items_ahead`: of a stream, how many items may lie there before one is taken; default any number.
    - `max_task_retries`: how often a call is made again, -1 without end; default the actor's.
    - `retry_exceptions`: made again not only when the process died in it, but also when it raises: True for every
      Exception, or a list of types; default False. Not for generators.
    - `concurrency_group`: one of the class's `concurrency_groups`; default that of all methods which name none.

    Returns the method, or a decorator of it. Raises TypeError or ValueError for a bad option, UnsupportedOptionError
    for one of a later release."""
    shape, retried = merge_declared(options)

    def declare(function: F) -> F:
        setattr(function, METHOD_ATTRIBUTE, shape)
        setattr(function, RETRIED_ATTRIBUTE, retried)
        return function

    if args:
        if len(args) != 1 or options or not callable(args[0]):
            raise TypeError("use @method or @method(num_returns=...) on a method of an actor's class")
        return declare(args[0])
    return declare
