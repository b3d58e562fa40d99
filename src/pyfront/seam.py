# SPDX-License-Identifier: Apache-2.0
"""What the API asks of whatever stands behind it: the one place where a node of processes could be something else.

There are two implementations of each protocol. On a node they are the compiled `Client` and the `Link` to the daemon;
in inline mode `inline.client` and `inline.desk`. All that is per call goes through the first, everything else is a
request to the second. `Runtime` holds a pair of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from shoal._core._node import CallTemplate, ObjectRef

if TYPE_CHECKING:
    from shoal.protocol.conversation import R, Request

T = TypeVar("T")

Submission = CallTemplate | Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""A kind of calls, ready to be made: the core's template, or what makes a call of its arguments and keywords."""


class NodeClient(Protocol):
    """Objects and waits. The names are those of the compiled `Client`, whose stub says what each does and raises."""

    @property
    def index(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def is_closed(self) -> bool: ...
    def put(self, value: object) -> ObjectRef[Any]: ...
    def get(self, ref: ObjectRef[T], timeout_s: float | None = None) -> T: ...
    def get_many(self, refs: Sequence[ObjectRef[Any]], timeout_s: float | None = None) -> list[Any]: ...
    def wait(
        self, refs: Sequence[ObjectRef[Any]], num_returns: int, timeout_s: float | None = None
    ) -> tuple[list[ObjectRef[Any]], list[ObjectRef[Any]]]: ...
    def create(self, nbytes: int) -> Any: ...
    def seal_array(self, buffer: Any, describe: tuple[Any, ...]) -> ObjectRef[Any]: ...
    def adopt(self, index: int, generation: int) -> ObjectRef[Any]: ...
    def share(self, ref: ObjectRef[Any]) -> None: ...
    def is_resolved(self, ref: ObjectRef[Any]) -> bool: ...
    def is_over(self, index: int, generation: int) -> bool: ...
    def task_of(self, ref: ObjectRef[Any]) -> tuple[int, int, bool] | None: ...
    def is_ending(self, task: Any, /) -> bool: ...
    def flush(self) -> None: ...
    def forked(self) -> None: ...
    def close(self) -> None: ...


class Requests(Protocol):
    """Where `NodeCalls` sends its messages. Raises RequestRefused, and the errors of a connection that has ended."""

    def request(self, message: Request[R], timeout_s: float | None = None) -> R:
        """The answer, waiting for it at most so many seconds (TimeoutError)."""

    def tell(self, message: Request[R]) -> None:
        """Ask without waiting for the answer."""
