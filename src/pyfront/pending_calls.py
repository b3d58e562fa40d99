# SPDX-License-Identifier: Apache-2.0
"""`max_pending_calls`: a bound on the unfinished calls made through one handle.

Only handles of actors with a limit have one of these, so a call of any other actor pays nothing. What is remembered of
a call is where its result is, not a reference to it: a dropped result is freed as ever, and its call counts until it is
done all the same.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from shoal._core._node import Client, ObjectRef, ObjectRefGenerator
from shoal.errors import PendingCallsLimitExceeded


class PendingCalls:
    """The calls of one handle that may be unfinished, oldest first."""

    def __init__(self, client: Client, limit: int, class_name: str) -> None:
        self._client = client
        self._limit = limit
        self._class_name = class_name
        self._lock = threading.RLock()  # re-entrant: pickling an argument may call the actor
        self._results: deque[tuple[int, int]] = deque()  # entries of first returns

    def limited(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, a method's submission, under the limit: raises PendingCallsLimitExceeded instead of submitting."""

        def submit(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self._make_room()
                made = call(*args, **kwargs)
                first = made[0] if isinstance(made, list) else made
                if isinstance(first, ObjectRefGenerator):
                    first = first.completed()
                if isinstance(first, ObjectRef):  # a call without returns cannot be seen to end, and does not count
                    self._results.append((first.index, first.generation))
                return made

        return submit

    def _make_room(self) -> None:
        is_over, results = self._client.is_over, self._results
        while results and is_over(*results[0]):
            results.popleft()
        if len(results) < self._limit:
            return
        unfinished = [result for result in results if not is_over(*result)]  # calls may end in another order
        results.clear()
        results.extend(unfinished)
        if len(unfinished) >= self._limit:
            error = PendingCallsLimitExceeded(
                f"{len(unfinished)} calls of actor {self._class_name} made through this handle are not finished, and "
                f"max_pending_calls={self._limit}: get the results of some first, or make the limit higher"
            )
            error.actor_name = self._class_name
            raise error
