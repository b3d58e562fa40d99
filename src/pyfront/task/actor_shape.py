# SPDX-License-Identifier: Apache-2.0
"""What a handle knows of its actor, wherever it is: methods with their options, and options of the actor that its
callers act upon. Travels with every handle, and by the daemon to who finds the actor by name.
"""

from collections.abc import Iterator
from typing import NamedTuple

from shoal.task.returns import STREAMING, Returns, returns_of

MAX_RETRIES = 2**31 - 1  # what -1, without end, comes to in the core

NO_LIMIT = -1  # of max_pending_calls

RETRIED_ATTRIBUTE = "__shoal_retried__"
"""Of a method: the exceptions that it declares to be retried. Types travel in no shape; the actor has the class."""


class MethodShape(NamedTuple):
    """One method that can be called remotely."""

    num_returns: int | str | None = None  # as in `Returns`; None only until the class is looked at
    max_items_ahead: int | None = None
    max_task_retries: int | None = None  # None: the actor's
    concurrency_group: str | None = None  # None: the one of all methods that name none
    retry_exceptions: bool | None = None  # of this call; None: as the method declares, which is in its class

    def returns_code(self, name: str) -> int:
        """The code of what it returns; raises ValueError for returns that do not fit together."""
        return Returns(self.num_returns, self.max_items_ahead).code(name, is_generator=False)

    def resolved(self, name: str, *, is_generator: bool) -> "MethodShape":
        """The shape with what it returns by itself filled in; raises ValueError where they do not fit."""
        code = Returns(self.num_returns, self.max_items_ahead).code(name, is_generator=is_generator)
        return self._replace(**returns_of(code)._asdict())


class ActorShape(NamedTuple):
    """An actor as its callers see it."""

    methods: dict[str, MethodShape]
    properties: tuple[str, ...] = ()  # attributes that are no methods, for the error's text
    hidden: tuple[str, ...] = ()  # methods that every Python object has, and so a handle of its own
    max_pending_calls: int = NO_LIMIT
    max_task_retries: int = 0  # after the death of its process; -1: without end
    concurrency_groups: tuple[str, ...] = ()


def retries_of(shape: ActorShape, method: MethodShape) -> int:
    """How often the core runs a call of this method again after the actor's process has died in it."""
    retries = shape.max_task_retries if method.max_task_retries is None else method.max_task_retries
    return MAX_RETRIES if retries < 0 else min(retries, MAX_RETRIES)


def call_name(name: str, group: str | None, retried: bool | None = None) -> str:
    """What the key of a call is made from: it tells the actor method, group and whether exceptions are retried (None:
    as declared), and needs no room in the call."""
    call = name if group is None else f"{name}@{group}"
    return call if retried is None else f"{call}!{retried}"


def calls_of(
    shape: ActorShape, retried: tuple[bool | None, ...] = (None, True, False)
) -> Iterator[tuple[str, str, str | None]]:
    """(call name, method, group) of every way to call each method, or of those with a choice that is in `retried`."""
    for name in shape.methods:
        for group in (None, *shape.concurrency_groups):
            for choice in retried:
                yield call_name(name, group, choice), name, group


def check_group(shape: ActorShape, name: str, method: MethodShape) -> None:
    """Raises ValueError if the method is to run in a group that the actor does not have."""
    group = method.concurrency_group
    if group is not None and group not in shape.concurrency_groups:
        known = ", ".join(shape.concurrency_groups) or "none"
        raise ValueError(
            f"{name} is to run in the concurrency group {group!r}, and the actor's groups are: {known}; name it in "
            "concurrency_groups of the class"
        )


def check_retried(method: MethodShape, *, retried: bool) -> None:
    """Raises ValueError if exceptions of a generator are to be retried."""
    if retried and method.num_returns == STREAMING:
        raise ValueError(
            "retry_exceptions is not for generators: items of the attempt that failed may have been taken; catch the "
            "exception in the generator, or let it return a list"
        )
