# SPDX-License-Identifier: Apache-2.0
"""`ray.util.annotations`: marks that libraries put on their functions and classes. They change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


class RayDeprecationWarning(DeprecationWarning):
    """Something of a library that will go."""


@overload
def PublicAPI(target: F, /) -> F: ...
@overload
def PublicAPI(**marks: Any) -> Callable[[F], F]: ...
def PublicAPI(*args: Any, **marks: Any) -> Any:
    """Mark a function or class as public: `@PublicAPI`, or `@PublicAPI(stability="beta")`."""
    return args[0] if args else lambda target: target


DeveloperAPI = PublicAPI
Deprecated = PublicAPI
