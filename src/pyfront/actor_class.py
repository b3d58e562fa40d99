# SPDX-License-Identifier: Apache-2.0
"""`@remote` classes: how an actor is created and found by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar

from shoal._core._node import Caller, ObjectRef, pass_call
from shoal.actor import METHOD_ATTRIBUTE, ActorHandle, handle_of
from shoal.errors import ActorNameTakenError, ActorNotFoundError
from shoal.ids import CONSTRUCTOR_KEY, FunctionKey, short_name
from shoal.runtime import Runtime, current
from shoal.task.actor_shape import RETRIED_ATTRIBUTE, ActorShape, MethodShape, check_group, check_retried
from shoal.task.checkpoints import check_checkpoints
from shoal.task.code_flags import ASYNC_GENERATOR, COROUTINE, GENERATOR, code_flags
from shoal.task.function_table import Exported
from shoal.task.options import DETACHED, ActorOptions, merge_actor

__all__ = ["ActorClass"]

P = ParamSpec("P")
T = TypeVar("T")

PICKLED_BY = ("__reduce__", "__reduce_ex__", "__getstate__")  # found in an instance first: a handle keeps its own

ASYNC_CONCURRENCY = 1000
"""Calls in flight of an actor with async methods, unless `max_concurrency` says otherwise."""


class ActorClass(Generic[T]):
    """A class whose instances are actors. Made by `@remote`; create one with `.remote(...)`."""

    def __init__(self, cls: type[T], options: ActorOptions, exported: Exported | None = None) -> None:
        self.__wrapped__ = cls
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__module__ = cls.__module__
        self.__doc__ = cls.__doc__
        self._options = options
        self._exported = exported
        self._found: tuple[ActorShape, bool] | None = None

    def options(self, **options: Any) -> ActorClass[T]:
        """This class with other `options`, e.g. `A.options(name="a").remote()` -> a new ActorClass.

        They are those of `shoal.remote` for classes; what is left out stays as it is. Raises TypeError, ValueError or
        UnsupportedOptionError for a bad one."""
        return ActorClass(self.__wrapped__, merge_actor(self._options, options), self._exported)

    def remote(self, *args: Any, **kwargs: Any) -> ActorHandle[T]:
        """Create an actor and return its handle at once; the constructor runs in the actor's process.

        `args` and `kwargs` are the constructor's; a ref among them is replaced by its value, for which the actor waits.
        Raises ActorNameTakenError if another actor has the name (unless `get_if_exists`), ValueError for a detached
        actor without a name, a method in an unknown concurrency group or calls that `checkpoint_every` could not
        repeat, TypeError if it is to have checkpoints and its class has no `checkpoint` or `restore`,
        SerializationError for an argument that cannot be pickled, ActorUnschedulableError and
        PlacementGroupSchedulingError for a place that is not there. An error of the constructor is the `cause` of the
        ActorDiedError that calls raise."""
        if self._options.lifetime == DETACHED and self._options.name is None:
            raise ValueError(
                f"a detached actor is found by its name only: {self.__name__}.options(name=..., lifetime={DETACHED!r})"
            )
        runtime = current()
        adopted = self._adopt(runtime, args, kwargs)
        if adopted is not None:
            return adopted
        while True:
            if self._options.get_if_exists:
                found = _find(runtime, str(self._options.name), self._options.namespace or runtime.namespace)
                if found is not None:
                    return found
            try:
                return self._create(runtime, args, kwargs)
            except ActorNameTakenError:
                if not self._options.get_if_exists:
                    raise
                # Somebody created it between our look and our attempt: look again.

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        name = self.__name__
        raise TypeError(f"{name} is an actor's class: create an actor with {name}.remote(...)")

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self.__wrapped__,)  # `class B(A)` derives from the plain class; decorate B to make it an actor

    def __repr__(self) -> str:
        return f"<actor class {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return ActorClass, (self.__wrapped__, self._options, self._exported)

    def _adopt(self, runtime: Runtime, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActorHandle[T] | None:
        """The actor that an earlier attempt of the calling task created here, if it lives."""
        earlier = runtime.earlier_actor(args, kwargs)
        found = None if earlier is None else runtime.calls.actor_of_class(earlier[0])
        if earlier is None or found is None or found[0] != short_name(self.__qualname__):
            return None
        pass_call()
        class_id, ref = earlier
        return handle_of(ref, class_id, *found)

    def _create(self, runtime: Runtime, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActorHandle[T]:
        options = self._options
        name = short_name(self.__qualname__)
        if self._found is None:
            self._found = shape_of(self.__wrapped__)
        found, is_async = self._found
        shape = found._replace(
            max_pending_calls=options.max_pending_calls,
            max_task_retries=options.task_retries(),
            concurrency_groups=tuple(options.concurrency_groups),
        )
        for method_name, method in shape.methods.items():
            check_group(shape, f"{name}.{method_name}", method)
        if options.checkpoint_every:
            check_checkpoints(self.__wrapped__, options, shape, is_async=is_async)
        environment = runtime.environment_for(options.runtime_env)
        ticket = runtime.calls.take_ticket()
        try:
            class_id = runtime.calls.create_actor(
                ticket=ticket,
                key=self._key(runtime),
                name=options.name,
                namespace=options.namespace or runtime.namespace,
                class_name=name,
                resources=options.demands(),
                max_concurrency=options.max_concurrency or (ASYNC_CONCURRENCY if is_async else 1),
                is_async=is_async,
                concurrency_groups=dict(options.concurrency_groups),
                max_restarts=options.max_restarts,
                checkpoint_every=options.checkpoint_every,
                is_detached=options.lifetime == DETACHED,
                shape=shape,
                environment=environment,
                place=options.place(runtime.captured),
            )
            construct: Caller[..., Any] = Caller(
                lambda: runtime.template(key=CONSTRUCTOR_KEY, class_id=class_id, is_actor_call=True, creates_actor=True)
            )
            ref: ObjectRef[Any] = construct(*args, **kwargs)
            runtime.client.share(ref)  # whoever finds the actor by name holds it too
            recorded: ObjectRef[Any] | None = None
            if options.max_restarts:  # the next process runs the constructor again
                recorded = runtime.client.put((args, kwargs))
                runtime.client.share(recorded)
            runtime.calls.register_actor_handle(class_id, ref, recorded)
        except BaseException:  # Ctrl-C too, anywhere: nobody would have a handle to end the actor by
            runtime.calls.abandon_actor(ticket)
            raise
        return handle_of(ref, class_id, name, shape)

    def _key(self, runtime: Runtime) -> FunctionKey:
        if self._exported is None or self._exported[0] != runtime.job:
            self._exported = (runtime.job, runtime.functions.export(short_name(self.__qualname__), self.__wrapped__))
        return self._exported[1]


def shape_of(cls: type) -> tuple[ActorShape, bool]:
    """The methods that can be called remotely, inherited, static and class methods too, and whether any is async.

    Raises ValueError for a generator method with a number of returns that it cannot have.
    """
    methods: dict[str, MethodShape] = {}
    properties: list[str] = []
    is_async = False
    for name in dir(cls):
        attribute = getattr(cls, name, None)
        if isinstance(attribute, property) or type(attribute).__name__ == "cached_property":
            properties.append(name)
            continue
        if not callable(attribute) or isinstance(attribute, type) or attribute is getattr(object, name, None):
            continue
        if name in ("__init__", "__new__", "__init_subclass__", "__subclasshook__", "__class_getitem__"):
            continue
        flags = code_flags(_innermost(attribute))
        shape: MethodShape = getattr(attribute, METHOD_ATTRIBUTE, MethodShape())
        is_async = is_async or bool(flags & (COROUTINE | ASYNC_GENERATOR))
        is_generator = bool(flags & (GENERATOR | ASYNC_GENERATOR))
        methods[name] = shape.resolved(f"{cls.__qualname__}.{name}", is_generator=is_generator)
        check_retried(methods[name], retried=bool(getattr(attribute, RETRIED_ATTRIBUTE, ())))
    hidden = tuple(name for name in methods if hasattr(ActorHandle, name) and name not in PICKLED_BY)
    return ActorShape(methods, tuple(properties), hidden), is_async


def _innermost(attribute: Callable[..., Any]) -> Callable[..., Any]:
    """The function in a bound method and below decorators."""
    function: Callable[..., Any] = getattr(attribute, "__func__", attribute)
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def own_handle(runtime: Runtime, class_id: int) -> ActorHandle[Any] | None:
    """A handle to the actor that this process is; None if nobody has one any more."""
    return _find(runtime, "", "", class_id)


def _find(runtime: Runtime, name: str, namespace: str, class_id: int | None = None) -> ActorHandle[Any] | None:
    info = runtime.calls.get_actor(name, namespace, class_id)
    if info is None:
        return None
    ref = runtime.client.adopt(info.handle.index, info.handle.generation)
    return handle_of(ref, info.class_id, info.class_name, info.shape)


def get_actor(name: str, namespace: str | None = None) -> ActorHandle[Any]:
    """A handle to the living actor called `name`.

    `namespace`: where that name was given; default the one of `init`, else one of this driver's own. Raises
    ActorNotFoundError (a ValueError) if there is none, ValueError for an empty name, TypeError for no string."""
    for option, text in (("name", name), ("namespace", "" if namespace is None else namespace)):
        if not isinstance(text, str):
            raise TypeError(f"an actor's {option} is a string, not {text!r}")
    if not name:
        raise ValueError("an actor's name is a non-empty string, not ''")
    runtime = current()
    handle = _find(runtime, name, namespace or runtime.namespace)
    if handle is None:
        error = ActorNotFoundError(
            f"no living actor is called {name!r} in namespace {namespace or runtime.namespace!r}; it may have exited "
            "when its last handle went, or live in another namespace (give namespace= to get_actor)"
        )
        error.actor_name = name
        raise error
    return handle
