# SPDX-License-Identifier: Apache-2.0
"""What a type checker sees of `.remote`: which parameters a call takes, and what it gives for what the code returns.

At run time nothing of this exists: `.remote` is the compiled `Caller`. A plain value comes as `ObjectRef[value]`, what
a generator yields as `ObjectRefGenerator[item]`, what a coroutine returns as a ref to that, several returns as a list.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from shoal._core._node import Caller, ObjectRef, ObjectRefGenerator

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

Stream = ObjectRefGenerator


class Untyped:
    """A result that nothing but Any is: such a call gives `ObjectRef[Any]`."""


class Several:
    """The result of a call with `num_returns` of another number than one: such a call gives `list[ObjectRef[Any]]`."""


class HasCalls(Protocol[P, R_co]):
    """A remote function, or a method of an actor, by the parameters and the result of its code."""

    def _shoal_code(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class RemoteOf:
    """The type of the attribute `remote`."""

    @overload
    def __get__(self, owner: HasCalls[P, Untyped], kind: object = None) -> Caller[P, ObjectRef[Any]]: ...
    @overload
    def __get__(self, owner: HasCalls[P, Several], kind: object = None) -> Caller[P, list[ObjectRef[Any]]]: ...
    @overload
    def __get__(self, owner: HasCalls[P, Iterator[T]], kind: object = None) -> Caller[P, Stream[T]]: ...
    @overload
    def __get__(self, owner: HasCalls[P, AsyncIterator[T]], kind: object = None) -> Caller[P, Stream[T]]: ...
    @overload
    def __get__(self, owner: HasCalls[P, Coroutine[Any, Any, T]], kind: object = None) -> Caller[P, ObjectRef[T]]: ...
    @overload
    def __get__(self, owner: HasCalls[P, R], kind: object = None) -> Caller[P, ObjectRef[R]]: ...
    def __get__(self, owner: Any, kind: object = None) -> Any:
        """A Caller."""


class Calls(Generic[P, R]):
    """Base of what has `.remote(...)`, as a checker sees it."""

    __slots__ = ()

    if TYPE_CHECKING:
        remote = RemoteOf()

        def _shoal_code(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
